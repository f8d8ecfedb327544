module bench

go 1.22

require embedjobs v0.0.0

replace embedjobs => ../../../capi/go
