"""Parts of invalid requests: values, headers, forms and parameters."""

from typing import Final

WILD: Final = (
    "", " ", "0", "-1", "1.5", "NaN", "nan", "inf", "-Infinity", "1e400", "true", "null", "[]",
    "{}",
    "\0", "a\0b", "a\nb", "a\r\nX-Injected: 1", "\u2028", "ÿ", "ü", "价格", "\U0001f4a9", "\ud7ff",
    "%",
    "%zz", "%00", "{x:String}", "' OR 1=1 --", "`", "\\", "../../etc/passwd", "<script>", "$where",
    "2147483648", "4294967296", "9223372036854775808", "18446744073709551616", "253402300800",
    "-62135596801", str(10**30), str(-(10**30)), "9" * 400, "9" * 5000, "0" * 5000, "x" * 101,
    "x" * 9000, "\uff11\uff12", "\u0663", "1_000", "+5", "0x10", "2026-13-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59-23:59", "2026-09-15T00:00:00", "2026-09-15T00:00:00+99:99",
    "1969-12-31T00:00Z",
    "2106-01-01T00:00:00Z", "~~", "2026-09-14T12:00:00.000000~-1~1",
    "2026-09-14T12:00:00.000000~1e3~1",
    f"2026-09-14T12:00:00.000000~{2**64}~1", f"2026-09-14T12:00:00.000000~{'9' * 5000}~1",
    "0001-01-01T00:00:00.000000~1~1", "9999-12-31T23:59:59.999999~1~\0",
)  # fmt: skip
"""Values that are invalid for most parameters."""

FEW: Final = (
    "", " ", "-1", "NaN", "\0", "a\r\nX-Injected: 1", "ü", "\U0001f4a9", "%zz", "'", "`", "\\",
    "{x}",
    str(10**30), "9" * 5000, "x" * 9000, "Europe/Nowhere",
)  # fmt: skip
"""The values for SQL, fewer because each reaches the engine."""

RAW: Final = (
    b"%", b"%z", b"%zz", b"%ff%fe", b"%c3", b"%ed%a0%80", b"%00", b"%0d%0a", b"%u0041", b"+",
    b"%25ff",
    b"&&&", b"=", b"=x", b"%ff=1", b"symbol", b"symbol=%ff", b"limit=%", b"from=%f0%28%8c%28",
    b";", b"a=1;b=2", b"a[]=1", b"\x7f", b"\xff", b"\x00", b"#", b"?", b"a b", b"x" * 40_000,
    b"&".join(b"a%d=1" % number for number in range(3_000)),
)  # fmt: skip
"""Query strings, some of which no client would send."""

HEADERS: Final = (
    b"Origin: http://[", b"Origin: \xff\xfe", b"Origin: null", b"Origin: ://", b"Host: [::1",
    b"Host:",
    b"Accept: \xff", b"Accept: ;;;q=nan", b"Accept: */*;q=" + b"9" * 5000,
    b"Accept: text/csv;q=nan",
    b"If-None-Match: \xff, W/, *", b"Content-Length: -1", b"Content-Length: " + b"9" * 5000,
    b"Content-Length: 1e3", b"Content-Length: \xb2", b"Transfer-Encoding: x", b"Expect: x",
    b"Sec-Fetch-Site: \xff", b"Authorization: Basic \xff", b"Authorization: Basic /////w==",
    b"Authorization: Basic =", b"Cookie: " + b"x" * 60_000, b"X-ClickHouse-Format: \xff",
    b"X-ClickHouse-Format: " + b"x" * 9000, b"X-ClickHouse-Database: \xff`; DROP",
    b"Range: bytes=9-1",
    b"X-ClickHouse-User: \xff", b"X-ClickHouse-Key: " + b"k" * 9000, b"Accept-Encoding: \xff",
    b"Content-Encoding: zstd", b"Content-Type: \xff", b"X" * 3000 + b": 1",
)  # fmt: skip

FORM: Final = (
    b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT \xff\r\n--b--\r\n',
    b'--b\r\nContent-Disposition: form-data; name="query"\r\n\r\nSELECT 1',
    b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nSELECT 1\r\n--b--\r\n',
    b"--b\r\nContent-Disposition: form-data\r\n\r\nSELECT 1\r\n--b--\r\n",
    b"--b\r\n\r\n\r\n--b--\r\n", b"--b", b"", b"\xff\xfe\x00", b"--b--",
    b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    b'--b\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name="query"'
    b"\r\n\r\n!!!!\r\n--b--\r\n",
)  # fmt: skip
TYPES: Final = (
    b"multipart/form-data; boundary=b", b"multipart/form-data", b"multipart/form-data; boundary=",
    b"multipart/form-data; boundary=\xff", b"multipart/form-data; boundary=" + b"b" * 5000,
    b"multipart/form-data; charset=nope; boundary=b", b"multipart/form-data;\x0bboundary=b",
)  # fmt: skip

OF_SQL: Final = (
    "query", "database", "default_format", "query_id", "session_id", "session_timezone",
    "max_execution_time", "limit", "offset", "date_time_output_format", "password",
    "enable_http_compression", "compress", "param_x", "param_", "a b", "max_threads", "readonly",
)  # fmt: skip
