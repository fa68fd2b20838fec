"""The apiserver's flags of authentication and authorization, and what they come to."""

from __future__ import annotations

import argparse
from pathlib import Path

from control_plane.apiserver.authn.build import AuthenticationOptions
from control_plane.apiserver.authn.front_proxy import FrontProxyHeaders
from control_plane.apiserver.authn.oidc import OIDCOptions
from control_plane.apiserver.authz.build import WebhookOptions
from store.component.flags import Parser, parse_duration
from store.component.process import FatalError

DEFAULT_ISSUER = "https://kubernetes.default.svc"


def add_flags(flags: Parser) -> None:
    _add_authentication(flags)
    _add_webhooks(flags)


def _add_authentication(flags: Parser) -> None:
    add = flags.add_argument
    add("--client-ca-file", type=Path, help="authority of client certificates")
    flags.add_bool("--anonymous-auth", True, "let requests without credentials in, as system:anonymous")
    flags.add_bool("--enable-bootstrap-token-auth", False, "accept bootstrap tokens")
    add("--token-auth-file", type=Path, help="CSV file of static tokens")
    add(
        "--service-account-key-file",
        type=Path,
        action="append",
        default=[],
        help="public keys of service-account tokens; repeatable",
    )
    add("--service-account-signing-key-file", type=Path, help="key that signs service-account tokens")
    add(
        "--service-account-issuer",
        action="append",
        default=[],
        help="issuer of service-account tokens; the first signs; repeatable",
    )
    add(
        "--service-account-max-token-expiration",
        type=parse_duration,
        default=0.0,
        help="longest life of a token; 0: no bound",
    )
    flags.add_bool(
        "--service-account-extend-token-expiration", True, "let mounted tokens live longer, with a warning"
    )
    add("--api-audiences", default="", help="audiences of this API; the issuers by default")
    add("--requestheader-client-ca-file", type=Path, help="authority of front proxies")
    add("--requestheader-allowed-names", default="", help="names of front proxies; any by default")
    add("--requestheader-username-headers", default="X-Remote-User", help="headers that name the user")
    add("--requestheader-uid-headers", default="X-Remote-Uid", help="headers that name the user's uid")
    add("--requestheader-group-headers", default="X-Remote-Group", help="headers that name the groups")
    add("--requestheader-extra-headers-prefix", default="X-Remote-Extra-", help="prefixes of further headers")


def _add_webhooks(flags: Parser) -> None:
    add = flags.add_argument
    add("--authorization-config", type=Path, help="the chain of authorizers, instead of their modes")
    add("--authorization-webhook-config-file", type=Path, help="kubeconfig of the authorization webhook")
    add("--authorization-webhook-version", default="v1", choices=("v1", "v1beta1"))
    add("--authorization-webhook-cache-authorized-ttl", type=parse_duration, default=300.0)
    add("--authorization-webhook-cache-unauthorized-ttl", type=parse_duration, default=30.0)
    add("--authentication-token-webhook-config-file", type=Path, help="kubeconfig of the token webhook")
    add("--authentication-token-webhook-version", default="v1", choices=("v1", "v1beta1"))
    add("--authentication-token-webhook-cache-ttl", type=parse_duration, default=120.0)
    add("--authentication-config", type=Path, help="issuers of tokens, and where requests may be anonymous")
    add("--oidc-issuer-url", default="", help="URL of the OpenID issuer, whose tokens are accepted")
    add("--oidc-client-id", default="", help="whom those tokens must be for")
    add("--oidc-username-claim", default="sub", help="claim that names the user")
    add("--oidc-username-prefix", default="", help="put before the name; the issuer by default, - for none")
    add("--oidc-groups-claim", default="", help="claim that names the groups")
    add("--oidc-groups-prefix", default="", help="put before the groups' names")
    add("--oidc-required-claim", action="append", default=[], help="key=value that must be; repeatable")
    add("--oidc-ca-file", type=Path, help="authority of the issuer's certificate; the host's by default")
    add("--oidc-signing-algs", default="RS256", help="accepted signatures, comma-separated")


def authentication(args: argparse.Namespace) -> AuthenticationOptions:
    return AuthenticationOptions(
        client_ca_file=args.client_ca_file,
        requestheader_client_ca_file=args.requestheader_client_ca_file,
        requestheader_allowed_names=words(args.requestheader_allowed_names),
        requestheader_headers=FrontProxyHeaders(
            user=words(args.requestheader_username_headers),
            uid=words(args.requestheader_uid_headers),
            group=words(args.requestheader_group_headers),
            extra_prefix=words(args.requestheader_extra_headers_prefix),
        ),
        service_account_key_files=args.service_account_key_file,
        service_account_signing_key_file=args.service_account_signing_key_file,
        service_account_issuers=args.service_account_issuer or [DEFAULT_ISSUER],
        service_account_max_token_expiration_s=int(args.service_account_max_token_expiration),
        service_account_extend_token_expiration=args.service_account_extend_token_expiration,
        api_audiences=words(args.api_audiences),
        token_auth_file=args.token_auth_file,
        enable_bootstrap_token_auth=args.enable_bootstrap_token_auth,
        anonymous_auth=args.anonymous_auth,
        oidc=_oidc(args),
        authentication_config_file=_authentication_config(args),
        token_webhook_config_file=args.authentication_token_webhook_config_file,
        token_webhook_version=args.authentication_token_webhook_version,
        token_webhook_cache_ttl_s=args.authentication_token_webhook_cache_ttl,
    )


def authorization_config(args: argparse.Namespace) -> Path | None:
    """Raises FatalError."""
    path: Path | None = args.authorization_config
    if path is not None and (args.authorization_mode or args.authorization_webhook_config_file):
        raise FatalError(
            "--authorization-config can not be specified when --authorization-mode or "
            "--authorization-webhook-* flags are defined"
        )
    return path


def _authentication_config(args: argparse.Namespace) -> Path | None:
    """Raises FatalError."""
    path: Path | None = args.authentication_config
    if path is not None and (args.oidc_issuer_url or args.oidc_client_id):
        raise FatalError("authentication-config and the oidc-* flags are mutually exclusive")
    return path


def _oidc(args: argparse.Namespace) -> OIDCOptions | None:
    """Raises FatalError."""
    if not args.oidc_issuer_url and not args.oidc_client_id:
        return None
    if not args.oidc_issuer_url or not args.oidc_client_id:
        raise FatalError("oidc-issuer-url and oidc-client-id must be specified together")
    if not args.oidc_issuer_url.startswith("https://"):
        raise FatalError("oidc-issuer-url must use the https scheme")
    required = dict(each.partition("=")[::2] for each in args.oidc_required_claim)
    return OIDCOptions(
        issuer_url=args.oidc_issuer_url,
        client_id=args.oidc_client_id,
        username_claim=args.oidc_username_claim,
        username_prefix=args.oidc_username_prefix,
        groups_claim=args.oidc_groups_claim,
        groups_prefix=args.oidc_groups_prefix,
        required_claims=required,
        ca_file=args.oidc_ca_file,
        signing_algorithms=words(args.oidc_signing_algs),
    )


def authorization_webhook(args: argparse.Namespace) -> WebhookOptions:
    return WebhookOptions(
        args.authorization_webhook_config_file,
        args.authorization_webhook_version,
        args.authorization_webhook_cache_authorized_ttl,
        args.authorization_webhook_cache_unauthorized_ttl,
    )


def requestheader(args: argparse.Namespace) -> dict[str, str]:
    """What aggregated servers are told of the front proxy, in the form of its ConfigMap."""
    if args.requestheader_client_ca_file is None:
        return {}
    lists = {
        "requestheader-allowed-names": args.requestheader_allowed_names,
        "requestheader-username-headers": args.requestheader_username_headers,
        "requestheader-uid-headers": args.requestheader_uid_headers,
        "requestheader-group-headers": args.requestheader_group_headers,
        "requestheader-extra-headers-prefix": args.requestheader_extra_headers_prefix,
    }
    quoted = {name: "[" + ",".join(f'"{word}"' for word in words(text)) + "]" for name, text in lists.items()}
    return {"requestheader-client-ca-file": args.requestheader_client_ca_file.read_text(), **quoted}


def words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
