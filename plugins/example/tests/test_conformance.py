from fusionkit.testing import conformance

test_conformance = conformance("example")
test_sampling = conformance("example-sampling")
