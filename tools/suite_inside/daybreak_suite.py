"""Inside somebody else's pytest (tools/suite.py starts it): loads the suite's plug-in, takes the sample, reports test by test."""

import hashlib
import importlib.util
import json
import os

import pytest


def loaded():
    """The suite's file under a name of ours: its own may be that of the package that it tests."""
    spec = importlib.util.spec_from_file_location("_daybreak_suite_plugin", os.environ["DAYBREAK_SUITE"])
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    return plugin


_plugin = loaded()  # now: their conftest.py, which comes before pytest_configure, is to find Daybreak


def pytest_configure(config):
    config.pluginmanager.register(_plugin, "_daybreak_suite_plugin")


def chosen(name, sample):
    """One in `sample`, by the hash of the name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % sample == 0


def said(**entry):
    """Appended at once, so that what a process that dies has said is there."""
    with open(os.environ["DAYBREAK_SUITE_REPORT"], "a", encoding="utf-8") as report:
        report.write(json.dumps(entry) + "\n")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    sample = int(os.environ["DAYBREAK_SUITE_SAMPLE"])
    said(collected=len(items))
    kept = [item for item in items if chosen(item.nodeid, sample)]
    config.hook.pytest_deselected(items=[item for item in items if not chosen(item.nodeid, sample)])
    items[:] = kept


_outcomes = {}
_why = {}
MAX_LINES = 12


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logstart(nodeid, location):
    _outcomes[nodeid] = "passed"
    said(begun=nodeid)


def pytest_runtest_logreport(report):
    """Failed in any phase is failed; skipped, or failed as they expect it (xfail), is skipped."""
    if report.failed:
        _outcomes[report.nodeid] = "failed"
        _why[report.nodeid] = "\n".join(report.longreprtext.splitlines()[-MAX_LINES:])
    elif report.skipped and _outcomes.get(report.nodeid) == "passed":
        _outcomes[report.nodeid] = "skipped"


def pytest_runtest_logfinish(nodeid, location):
    said(test=nodeid, outcome=_outcomes.pop(nodeid), why=_why.pop(nodeid, ""))


def pytest_collectreport(report):
    """A file that cannot be imported is a test that fails."""
    if report.failed:
        said(test=report.nodeid, outcome="failed")
