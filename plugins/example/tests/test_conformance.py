from fusionkit.testing import conformance

test_conformance = conformance("example")
