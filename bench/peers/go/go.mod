module sotto/bench/peers/go

go 1.26
