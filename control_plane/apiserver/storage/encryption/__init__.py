"""Encryption at rest: what of the store's values only this server can read.

providers.py      aesgcm, aescbc, secretbox, identity: one key each, bytes in, bytes out
kms.py            envelopes whose key a key management service keeps (kms_wire.py, kms_service.py)
transformer.py    several keys for one resource: the first writes, all read
configuration.py  apiserver.config.k8s.io/v1 EncryptionConfiguration
client.py         a store client that encrypts what it writes and decrypts what it reads
reload.py         the configuration read again when its file has changed
"""
