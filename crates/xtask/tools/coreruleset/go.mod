module coraza.test/coreruleset

go 1.26.0

require github.com/corazawaf/coraza-coreruleset/v4 v4.25.0
