module vbom.ml/util

go 1.25.0
