package e2e
var activityCases []testCase
var timeoutCases []testCase
var localActivityCases []testCase
var asyncCases []testCase
var childCases []testCase
var externalCases []testCase
var chainCases []testCase
var codeCases []testCase
var namespaceCases []testCase
var refusalCases []testCase
