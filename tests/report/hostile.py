"""Strings that a stranger's file may hold: each must be shown as text or refused, never run."""

SCRIPTS = (
    "<script>alert(1)</script>", "</title><script>alert(1)</script>", '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>", "<svg/onload=alert(1)>", "<iframe src=javascript:alert(1)>",
    "<body onload=alert(1)>", "<details open ontoggle=alert(1)>", "<a href=javascript:alert(1)>x</a>", "javascript:alert(1)",
    "{{7*7}}", "${alert(1)}", "{% raw %}", "`;alert(1);`", "</script><script>alert(1)</script>",
    "<math><mtext></form><form><mglyph>",
    "</code></pre><script>alert(1)</script>", "<style>@import 'http://example.invalid/x'</style>",
)  # fmt: skip

TRAVERSALS = (
    "../run.json", "../../run.json", "../../../../etc/passwd", "..", "../", "./../x", "a/../../x", "....//....//etc/passwd",
    "%2e%2e/run.json", "%2e%2e%2frun.json", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%2frun.json", "..%2f..%2fetc%2fpasswd",
    "%252e%252e%252frun.json", "%252e%252e/%252e%252e/etc/passwd", "..\\run.json", "..\\..\\windows\\win.ini", "..%5crun.json",
    "%2e%2e%5crun.json", "..%255crun.json", "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "///etc/passwd",
    "/etc/passwd%00.png",
    "x%00.png", "%00", "..%00/run.json", "~root/.bashrc", "~/.ssh/id_rsa", "file:///etc/passwd", "file:%2f%2f%2fetc%2fpasswd",
    "C:\\windows\\win.ini", "C:%5cwindows%5cwin.ini", "..;/run.json", ".%2e/run.json", "%c0%ae%c0%ae/run.json",
    "%e0%80%ae%e0%80%ae/run.json", "..%c0%afrun.json", "link/passwd",
)  # fmt: skip
