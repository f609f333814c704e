"""What a finding of the doctor must say."""


def assert_is(finding, status, *texts):
    """Its status, texts in what it says, and a remedy unless all is well."""
    assert finding.status == status, finding
    for text in texts:
        assert text in f"{finding.finding}; {finding.remedy}"
    assert bool(finding.remedy) == (status != "ok")
