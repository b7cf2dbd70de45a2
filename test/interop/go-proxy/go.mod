module sotto/interop/proxy

go 1.26

require github.com/pires/go-proxyproto v0.15.0
