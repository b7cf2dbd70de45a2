module sotto/interop

go 1.26
