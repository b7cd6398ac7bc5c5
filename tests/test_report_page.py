"""The report's page in headless Chromium: no error, tables that sort, filter and download."""

import json
import re
import shutil
import subprocess

import pytest

from orchestrator.analyses.analysis import Inputs
from orchestrator.analyses.catalogue import ANALYSES
from orchestrator.analysing import make
from orchestrator.reporting import write_report
from tests.small_scores import write_sweep

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH"),
]

LISTEN = """<script>
window.errors = [];
window.addEventListener("error", (e) => errors.push(String(e.message)));
for (const kind of ["error", "warn"]) console[kind] = (...a) => errors.push(a.join(" "));
</script>"""

ACT = """<script>
const found = { errors, tables: tables.length };
const table = tables.find((t) => t.name === "improvement");
const cells = (k) => [...table.body.rows].map((row) => row.cells[k].textContent);
const place = table.columns.findIndex((c) => c.name === "difference");
const button = table.head.querySelector('[data-sort="difference"]');
const values = () => cells(place).map((s) => Number(s.replace("−", "-")));
button.click();
found.falling = values();
button.click();
found.rising = values();
found.sort = button.closest("th").getAttribute("aria-sort");
const select = table.home.querySelector('select[data-filter="subject"]');
select.value = "subj02";
select.dispatchEvent(new Event("change"));
found.subjects = cells(table.columns.findIndex((c) => c.name === "subject"));
found.csv = table.csv();
found.width = document.documentElement.scrollWidth;
found.figures = document.querySelectorAll("figure").length;
found.described = document.querySelectorAll(
  "figure [role=img][aria-label], figure img[alt], figure iframe[title]").length;
const out = document.createElement("script");
out.type = "application/json";
out.id = "found";
out.textContent = JSON.stringify(found);
document.body.append(out);
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    home = tmp_path_factory.mktemp("report")
    write_sweep(home / "runs")
    inputs = Inputs(home / "runs", home / "data")
    for one in ANALYSES:
        make(one, inputs)
    return write_report(inputs, home / "report.html")


def visit(page, width):
    """Open a copy of the page that acts on itself; return what it found."""
    acting = page.with_name(f"acting-{width}.html")
    text = page.read_text().replace("<head>", "<head>" + LISTEN, 1)
    acting.write_text(text.replace("</body>", ACT + "</body>"))
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += [f"--window-size={width},900", f"--user-data-dir={page.parent / 'profile'}"]
    done = subprocess.run(
        [*command, acting.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    [found] = re.findall(r'<script type="application/json" id="found">(.*?)</script>', done.stdout)
    return json.loads(found.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_works_at_desktop_and_phone_width(page, width):
    found = visit(page, width)
    assert found["errors"] == []
    assert found["tables"] == 2
    assert found["falling"] == sorted(found["falling"], reverse=True)
    assert found["rising"] == sorted(found["rising"])
    assert found["falling"] != found["rising"]
    assert found["sort"] == "ascending"
    assert set(found["subjects"]) == {"subj02"}
    header, *rows = found["csv"].strip().split("\n")
    assert header.startswith("protocol,level,method")
    assert rows
    assert all("subj02" in row for row in rows)
    assert found["width"] <= width
    assert found["figures"] == found["described"] >= 4
