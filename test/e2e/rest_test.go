package e2e

var chainCases []testCase
var codeCases []testCase
var namespaceCases []testCase
var refusalCases []testCase
