"""Who asks: every kind of credential that kube-apiserver knows, put together by `build_authenticator`."""
