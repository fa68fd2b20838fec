"""cronjob: makes a Job at every time of a schedule.

schedule.py   cron expressions and when they fire next (pure)
plan.py       which run is due, what of the past to forget (pure)
loop.py       carries the plan out
"""

from control_plane.controllers.cronjob.loop import CronJobController

__all__ = ["CronJobController"]
