"""CustomResourceDefinitions: kinds that users define, served like built-ins.

    definition.py   what a CustomResourceDefinition may say: names, versions, conversion, columns
    structural.py   what its schemas may say (and cel_rules.py: their validation rules)
    naming.py       which names are accepted, the conditions, the stored versions             (pure)
    kind.py         one version of a custom resource: what the generic path asks of it        (pure)
      prune.py  defaulting.py  objectmeta.py  validate.py  formats.py  listtypes.py  rules.py
      jsonpath.py  columns.py  scale.py
    served.py       from a definition to the resources that are served                        (pure)
    openapi.py      their OpenAPI documents                                                   (pure)
    conversion.py   between versions, by renaming or by a webhook
    follower.py     keeps every replica's registry in line with the definitions in the store
    controller.py   writes the conditions; deletes the instances of what is deleted

The schemas are walked as they were written (dicts): a large definition costs its own size and no more.
"""
