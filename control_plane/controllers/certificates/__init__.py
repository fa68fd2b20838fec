"""Certificate signing requests: approved where that is safe, signed when approved, cleaned up afterwards.

request.py   what a request asks for, and what each built-in signer allows (pure)
signing.py   from a request to its certificate (pure but for the key)
approver.py  csrapproving: node agents' client certificates
signer.py    csrsigning: the four built-in signers
cleaner.py   csrcleaner
"""

from control_plane.controllers.certificates.approver import CertificateApprover
from control_plane.controllers.certificates.cleaner import CertificateCleaner
from control_plane.controllers.certificates.signer import CertificateSigner

__all__ = ["CertificateApprover", "CertificateCleaner", "CertificateSigner"]
