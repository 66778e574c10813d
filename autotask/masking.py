"""Hide secrets of known shapes in a text that leaves the process.

A table of rows, from which docs/secrets.md and tests are made. Compiling a pattern costs more than
a whole run, so a row is tried only if the text contains one of its hints.
"""

from __future__ import annotations

import re

# Parts of the patterns. OPEN is what may come before a value, kept: a quote, also an escaped one
# (JSON inside JSON), b'...' and SecretStr('...'). A value runs up to the same quote, or is a word.
_PARTS = {
    "OPEN": r"""(?:(?:b|[\w.]{1,40}\()?(?P<q>\\{0,7}["']))?""",
    "QUOTED": r"(?:(?!(?<!\\)(?P=q))[\s\S])+",
    "WORD": r"""(?:[^\s,:;&"')\]}]|[:)\]}"'](?=[^\s,;&"')\]}]))+""",
    "ARGUMENT": r"""(?:[^\s:;|&"',\])]|[:,\])](?=[^\s;|&"',\])]))+""",  # in a line for a shell
    # `secret: open /run/x: no such file` is a sentence, *** is what another row has left.
    # The group `bare` says that one of WORDS would be no secret here.
    "NOT_PROSE": (
        r"""(?(q)|(?![\[<]|\{?\*\*\*|(?<=: )[A-Za-z]{1,30}[:,]? [A-Za-z(\["'/<])(?P<bare>))"""
    ),
    "NUMBER": r"(?!\d{1,5}(?![\w.@/+=%-]))",
    # What separates a name from its value; `Token::new` is code.
    "IS": r"""\\{0,7}["']?\]?[ \t]{0,20}(?:[=-]>|:=|={1,2}(?!=)|:(?![:/]|=)|%3[ADad])[ \t]{0,20}""",
    "UPTO": r"[^;|\n]{0,200}?",  # the words of a command before the one that counts
    "SPACE": r"""(?:["'],)?[ \t]+""",  # between two words of a command, or of a list of them
}

# Name, hints in lower case, pattern, example, the example masked.
# In each pattern group 1 is kept, and the rest of what it matches becomes ***.
ROWS: tuple[tuple[str, tuple[str, ...], str, str, str], ...] = (
    (
        "private key in PEM",
        ("private key",),
        r"(-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)[\s\S]+?(?=-----END|\Z)",
        "-----BEGIN RSA PRIVATE KEY-----\\nMIIEow==\\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----***-----END RSA PRIVATE KEY-----",
    ),
    (
        "token in the place of a URL's user",
        ("://",),
        (
            r"(?i)((?<![a-z0-9+.-])(?:(?:git\+)?https?://|[a-z][a-z0-9+.-]{0,30}://(?=[^\s/@:]{20})))"
            r"[^\s/@:\"'<>?]{1,500}(?=@|:(?:x-oauth-basic)?@)"
        ),
        "https://ghp_hunter2@github.com/ann/shop.git",
        "https://***@github.com/ann/shop.git",
    ),
    (
        "password in a URL",
        ("://",),
        # Up to the last @ of the word: a password may hold @ : / itself. A port is none.
        (
            r"(?i)((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^\s/:\"'<>]{0,200}:)"
            r"(?!\d{1,5}(?:[/?#\"'\s]|\Z))(?=[^\s@]{1,500}@)(?:[^\s\"'<>?,]{1,500}|[^\s]{1,500})(?=@)"
        ),
        "postgres://ann:hunter2@db:5432/shop",
        "postgres://ann:***@db:5432/shop",
    ),
    (
        "webhook",
        ("hook", "hc-ping", "/bot"),
        (
            r"(?i)((?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)"
            r"|discord(?:app)?\.com/api/(?:v\d+/)?webhooks|webhook\.office\.com/webhookb2"
            r"|outlook\.office(?:365)?\.com/webhook|hooks\.zapier\.com/hooks/catch|hc-ping\.com"
            r"|chat\.googleapis\.com/v1/spaces/[\w-]+/messages|api\.telegram\.org/bot)/?)"
            r"[^\s\"'<>)\]]+"
        ),
        "POST https://hooks.slack.com/services/T024/B024/hunter2 failed",
        "POST https://hooks.slack.com/services/*** failed",
    ),
    (
        "signature or code in a query",
        ("sig", "code=", "state=", "x-amz-", "x-goog-", "ticket="),
        (
            r"(?i)((?<![a-z0-9])(?:x-(?:amz|goog)-(?:signature|security-token|credential)"
            r"|(?<![^?&;\s\"'])(?:sig|signature)|(?<=[?&])(?:code|state|ticket|oauth_signature|h(?:mac)?))"
            r"=)(?=[^\s&]{0,400}\d)<NUMBER>[^\s&\"'<>#)\]]{6,}"
        ),
        "GET /callback?code=4/0AXhunter2&scope=mail",
        "GET /callback?code=***&scope=mail",
    ),
    (
        "authorization header",
        ("authorization",),
        (
            r"((?i:authorization)<IS><OPEN>(?!(?:[\w-]+ )?\*\*\*)"
            r"(?:(?i:basic|bearer|token|digest|negotiate|ntlm|(?:api-?)?key"
            r"|[a-z-]{1,30}(?= \S{16}| \S{0,15}\d))[ ]+)?<NOT_PROSE>)(?(q)<QUOTED>|<WORD>)"
        ),
        "curl -H 'Authorization: Bearer hunter2' https://api",
        "curl -H 'Authorization: Bearer ***' https://api",
    ),
    (
        "bearer token",
        ("bearer ",),
        (
            r"(?i)(\bbearer[ ]+)(?:(?=[^\s\"',;]{0,400}\d|[^\s\"',;]{16})|(?-i:(?<=Bearer )))"
            r"(?!auth|realm)(?P<bare>)"
            r"[^\s\"',;)\]}]+"
        ),
        "401 for Bearer hunter2",
        "401 for Bearer ***",
    ),
    (
        "basic credentials",
        ("basic ",),
        r"(\b[Bb]asic[ ]+)(?=[A-Za-z0-9+/]{0,400}[\d=])[A-Za-z0-9+/]{8,}={0,2}",
        "sent Basic YW5uOmh1bnRlcjI=",
        "sent Basic ***",
    ),
    (
        "cookie",
        ("cookie", "sessid", "session_id", "sessionid"),
        r"(?i)(\b(?:set-)?cookie<IS><OPEN>)(?!(?:none|null)\b)(?(q)<QUOTED>|[^\n\"']+)",
        "Cookie: sid=hunter2; theme=dark",
        "Cookie: ***",
    ),
    (
        "id of a session",
        ("sess",),
        r"(?i)((?:sess(?:ion)?_?id)<IS><OPEN>)(?=[a-z]{0,99}\d)(?=\d{0,99}[a-z])[^\s,;&\"')\]}]{7,}",
        "PHPSESSID=0123456789abcdef0123",
        "PHPSESSID=***",
    ),
    (
        "JSON Web Token",
        ("eyj",),
        r"()(?<![\w-])eyJ[\w-]{6,}(?:\.[\w-]*){0,4}",
        "bad signature: eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOjF9.hunter2",
        "bad signature: ***",
    ),
    (
        "token of AWS",
        ("akia", "asia", "abia", "acca"),
        r"()(?<![A-Za-z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{8,}",
        "no access for AKIAIOSFODNN7EXAMPLE",
        "no access for ***",
    ),
    (
        "token of GitHub or GitLab",
        ("gho_", "ghp_", "ghr_", "ghs_", "ghu_", "github_pat_", "gl"),
        (
            r"()(?<![A-Za-z0-9])(?:gh[oprsu]_|github_pat_|gl(?:pat|ptt|rt|dt|cbt|ft|soat|agent)-)"
            r"[\w-]{5,}"
        ),
        "remote: ghp_0123456789abcdefghij is not allowed",
        "remote: *** is not allowed",
    ),
    (
        "token of Slack",
        ("xox", "xapp-"),
        r"()(?<![A-Za-z0-9])(?:xox[a-z](?:\.xox[a-z])?|xapp)-[\w-]{5,}",
        "invalid_auth: xoxb-2401-hunter2",
        "invalid_auth: ***",
    ),
    (
        "token of Stripe",
        ("k_live_", "k_test_", "whsec_"),
        r"()(?<![A-Za-z0-9])(?:[prs]k_(?:live|test)|whsec)_\w{5,}",
        "No such customer (key sk_live_51Hhunter2)",
        "No such customer (key ***)",
    ),
    (
        "token of OpenAI, Anthropic",
        ("sk-",),
        r"()(?<![\w-])sk-(?=[\w-]{0,200}\d)[\w-]{12,}",
        "Incorrect API key provided: sk-proj-4fhunter2Q9",
        "Incorrect API key provided: ***",
    ),
    (
        "token of Google",
        ("aiza", "ya29.", "gocspx-", "1//0"),
        r"()(?<![\w-])(?:AIza[\w-]{8,}|ya29\.[\w.-]{5,}|GOCSPX-[\w-]{8,}|1//0[\w-]{16,})",
        "quota of AIzaSyD4hunter2hunter2 exceeded",
        "quota of *** exceeded",
    ),
    (
        "token of SendGrid, Mailgun, Twilio, Telegram",
        ("sg.", "key-", "sk", ":aa"),
        (
            r"()(?<![\w-])(?:SG\.(?=[\w.-]{0,200}\d)[\w-]{6,}\.[\w-]{6,}|key-[0-9a-f]{32}"
            r"|SK[0-9a-f]{32}|\d{8,10}:AA[\w-]{30,})"
        ),
        "sender: SG.ngeVfQFYQlKU0.ufo8hunter2",
        "sender: ***",
    ),
    (
        "token of npm, PyPI, RubyGems, Docker",
        ("npm_", "pypi-", "rubygems_", "dckr_"),
        (
            r"()(?<![\w-])(?:npm_(?=[A-Za-z0-9]{0,99}\d)[A-Za-z0-9]{7,}|pypi-(?=[\w-]{0,300}[A-Z])"
            r"(?=[\w-]{0,300}\d)[\w-]{10,}|rubygems_[0-9a-f]{16,}|dckr_[a-z]{3}_[\w-]{8,})"
        ),
        "403 with npm_4fhunter2Q9",
        "403 with ***",
    ),
    (
        "token of a cloud or a service",
        (
            *("dop_v1_", "doo_v1_", "dor_v1_", "hvs.", "hvb.", "hvr.", "shpat_", "shpss_", "hf_"),
            *("glsa_", "dapi", "nrak-", "lin_api_", "pmak-", "atatt3", "gsk_", "xai-", "figd_"),
            *("sq0", "sntry", "age-secret-key-", "pscale_", "tskey-", "fo1_", "rk-", "ops_"),
        ),
        (
            r"()(?<![\w-])(?:do[opr]_v1_\w{5,}|hv[bsr]\.[\w-]{5,}|shp(?:at|ss|ca|pa)_\w{8,}"
            r"|(?:hf|gsk)_(?=\w{0,99}\d)[A-Za-z0-9]{12,}|glsa_\w{8,}|dapi[0-9a-f]{16,}|NRAK-[\w-]{8,}"
            r"|lin_api_\w{8,}|PMAK-[\w-]{8,}|ATATT3[\w=-]{8,}|xai-(?=\w{0,99}\d)\w{16,}|figd_[\w-]{8,}"
            r"|sq0[a-z]{3}-[\w-]{8,}|sntry[su]_[\w=+/-]{8,}|AGE-SECRET-KEY-1\w{8,}|pscale_\w{8,}"
            r"|tskey-[\w-]{8,}|fo1_[\w-]{8,}|ops_eyJ[\w-]{8,})"
        ),
        "permission denied for hvs.CAESIhunter2",
        "permission denied for ***",
    ),
    (
        "password in braces (ODBC)",
        ("={", "= {"),
        r"(?i)((?:pwd|password)[ ]?=[ ]?\{)(?:[^{}\n]|\}\})+",
        "DRIVER={PostgreSQL};UID=ann;PWD={hun;ter2};",
        "DRIVER={PostgreSQL};UID=ann;PWD={***};",
    ),
    (
        "password, secret or token by its name",
        (
            *("passw", "passp", "pass p", "passcode", "pwd", "secret", "token", "jwt", "otp"),
            *(
                "_auth",
                "key=",
                "key:",
                "key =",
                "key'",
                'key"',
                "key\\",
                "key%",
                "key0",
                "key1",
                "key_base",
            ),
        ),
        (
            r"((?i:(?=[a-z_])(?:passw(?:or)?d|pass ?phrase|passcode|secret|(?<!unexpected )token"
            r"|pwd(?!\s?=\s?[/~])|(?<=[;_])pwd|(?<![a-z])(?:jwt|t?otp)|(?<![a-z])_auth"
            r"|(?<![a-z])(?:api|access|secret|secret_?access|private|account|auth|app|application|encryption"
            r"|signing|master|subscription|license|storage|service|deploy|admin|shared|consumer"
            r"|webhook|session|ingest|write|fernet)[_ -]?key"
            r"|sharedaccesskey|apikey)(?:_base|\d{1,2})?)<IS><OPEN><NOT_PROSE>)(?(q)<QUOTED>|<WORD>)"
        ),
        "login failed: password=hunter2 user=ann",
        "login failed: password=*** user=ann",
    ),
    (
        "pass, pw, key and what ends in them",
        (
            *("pass=", "pass:", "pass'", 'pass"', "pass =", "pass :", "pass\\", "pw", "psk"),
            *("key=", "key =", "key'", 'key"'),
        ),
        (
            r"((?i:(?=[\w-])(?:(?<![a-z])(?:pw|psk|(?-i:[Pp]ass)|(?<=_)pass|pass(?=[ ]?=|[\"']))"
            r"|(?<![a-z])(?:db|my|sql|usr|user|smtp|ftp|mail|root|admin|sudo|ldap|redis|pg|mysql|store"
            r"|key|login|mq|app|wifi|ssh|http|proxy|bind)pass"
            r"|(?<![\w-])(?![\w-]{0,40}(?:primary|foreign|public|partition|sort|cache|routing|group"
            r"|hash|range|row|object|unique|idempotency|message|host|index|lookup|map)[_-]?key)"
            r"(?:(?:[\w-]{0,60}[_-])?key|(?-i:\w{0,60}[a-z0-9]Key))(?=[\"']?[ ]?=(?!=))))"
            r"<IS><OPEN><NOT_PROSE><NUMBER>)(?(q)<QUOTED>|<WORD>)"
        ),
        "DBPASS=hunter2 make deploy",
        "DBPASS=*** make deploy",
    ),
    (
        "option of a command",
        ("-pass", "-token", "-secret", "-key", "-pwd", "-pw", "-pin", "pass ", " set ", "env "),
        (
            r"(?i)((?:(?<![^\s'\"])--?|\bconfig(?:ure)? set |\bENV )"
            r"[\w./:-]{0,60}(?:(?:pass|passwd|password|passphrase|passcode|secret"
            r"|token|pwd|pw|pin)|key(?=<SPACE>[\"']?[^/~.\d\s-]))<SPACE><OPEN>)"
            r"(?![\s'\"-])(?(q)<QUOTED>|(?P<bare>)<ARGUMENT>)"
        ),
        "run --db-password hunter2 --user ann",
        "run --db-password *** --user ann",
    ),
    (
        "curl -u, --user",
        ("curl ", "curl'", 'curl"', "http ", "https "),
        (
            r"(\b(?:curl|https?)\b[^\n]{0,300}?[\s'\"](?:-[a-zA-Z]{0,5}[uaU]|--user|--proxy-user|--auth)"
            r"(?:<SPACE>|=|(?=\w))<OPEN>[^\s:'\"/]{1,100}:)(?!//)(?(q)<QUOTED>|<ARGUMENT>)"
        ),
        "curl --user ann:hunter2 https://db/x",
        "curl --user ann:*** https://db/x",
    ),
    (
        "cookie for curl",
        ("curl ", "curl'", 'curl"'),
        (
            r"(\bcurl\b[^\n]{0,300}?[\s'\"](?:-b|--cookie)(?:<SPACE>|=)<OPEN>)(?=[^\s'\"]{1,200}=)"
            r"(?(q)<QUOTED>|<ARGUMENT>)"
        ),
        "curl -b sid=hunter2 https://db/x",
        "curl -b *** https://db/x",
    ),
    (
        "mysql -p",
        ("mysql", "mariadb", "mycli"),
        (
            r"(\b(?:mysql|mariadb|mycli)[\w-]*(?=[\s'\"])<UPTO>[\s'\"]-p<OPEN>)(?![,\s'\"])(?(q)<QUOTED>|"
            r"<ARGUMENT>)"
        ),
        "mysqldump -u root -phunter2 shop",
        "mysqldump -u root -p*** shop",
    ),
    (
        "-p of a login and of some programs",
        (" -p", "'-p", '"-p'),
        (
            r"(?<![\w/.-])((?:login|sshpass|mongo\w*|cqlsh|rabbitmqadmin|usermod|useradd|plink|pscp)"
            r"(?=[\s'\"])<UPTO>[\s'\"](?:-p|-pw)(?:<SPACE>)?<OPEN>)(?![\s'\"-])(?(q)<QUOTED>|<ARGUMENT>)"
        ),
        "docker login -u ann -p hunter2 registry.example.org",
        "docker login -u ann -p *** registry.example.org",
    ),
    (
        "-P of some programs",
        ("zip", "sqlcmd", "bcp", "mosquitto", "ipmitool", "isql", "tsql", "osql"),
        (
            r"(\b(?:zip|unzip|zipcloak|sqlcmd|bcp|mosquitto_\w+|ipmitool|isql|tsql|osql)(?=[\s'\"])<UPTO>"
            r"[\s'\"]-P(?:<SPACE>)?<OPEN>)(?![\s'\"-])(?(q)<QUOTED>|<ARGUMENT>)"
        ),
        "zip -r -P hunter2 backup.zip /srv",
        "zip -r -P *** backup.zip /srv",
    ),
    (
        "-p of archivers",
        ("7z", "rar"),
        r"(\b(?:7z[arz]?|rar|unrar)(?=[\s'\"])<UPTO>[\s'\"]-h?p<OPEN>)(?![\s'\"])(?(q)<QUOTED>|<ARGUMENT>)",
        "7z a -phunter2 backup.7z /srv",
        "7z a -p*** backup.7z /srv",
    ),
    (
        "redis-cli -a, ldapsearch -w",
        ("redis-cli", "ldap"),
        (
            r"((?:\bredis-cli\b<UPTO>[\s'\"](?:-a|AUTH)|\bldap\w+\b<UPTO>[\s'\"]-w)<SPACE><OPEN>)"
            r"(?![\s'\"-])(?(q)<QUOTED>|<ARGUMENT>)"
        ),
        "redis-cli -h cache -a hunter2 ping",
        "redis-cli -h cache -a *** ping",
    ),
    (
        "user%password (Samba)",
        ("%",),
        (
            r"(\b(?:smb\w+|rpcclient|net|winexe|wmic|nmblookup)\b<UPTO>[\s'\"](?:-U|--user)(?:<SPACE>|=)?"
            r"<OPEN>[^\s%'\"]{1,100}%)(?(q)<QUOTED>|<ARGUMENT>)"
        ),
        "smbclient //nas/share -U ann%hunter2",
        "smbclient //nas/share -U ann%***",
    ),
    (
        "password as a plain argument",
        (
            "htpasswd",
            "net user",
            "vault login",
            "sqlplus",
            "jdbc:oracle",
            "adduser",
            "add_user",
            "change_password",
        ),
        (
            r"(?i)((?:\bhtpasswd[ ]+(?=(?:-[a-z]+[ ]+)*-[a-z]*b)(?:-[a-z]+[ ]+)+"
            r"(?:(?<=n )|(?<=nb )|(?<=bn )|\S+[ ]+)\S+[ ]+"
            r"|\bnet[ ]+user[ ]+\S+[ ]+(?![/\s])(?=\S+[ ]+/|\S*\d)"
            r"|\bvault[ ]+login[ ]+(?:-\S+[ ]+)*(?![-\s])(?=\S*[\d.])"
            r"|\bsqlplus[ ]+(?:-\w+[ ]+)*[^\s/@-]+/|\bjdbc:oracle:\w+:[^\s/@]+/"
            r"|\b(?:add_user|change_password)[ ]+\S+[ ]+)<OPEN>)(?(q)<QUOTED>|[^\s;|&\"'@]+)"
        ),
        "htpasswd -b /etc/users ann hunter2",
        "htpasswd -b /etc/users ann ***",
    ),
    (
        "pass: (OpenSSL)",
        ("pass:",),
        r"(?<![A-Za-z])(pass:)(?![\s:'\"])<NUMBER>(?:<ARGUMENT>)",
        "openssl pkcs12 -in a.p12 -passin pass:hunter2",
        "openssl pkcs12 -in a.p12 -passin pass:***",
    ),
    (
        "echo of a password into a command",
        ("echo ", "printf "),
        (
            r"(\b(?:echo|printf)[ ]+(?:-\w+[ ]+)?<OPEN>)(?(q)<QUOTED>|[^\s|\"']+)"
            r"(?=[\"']?[ ]*\|[^|\n]{0,100}(?:sudo -S|stdin|passwd|passphrase-fd))"
        ),
        "echo hunter2 | docker login --password-stdin",
        "echo *** | docker login --password-stdin",
    ),
    (
        "SQL: IDENTIFIED BY, PASSWORD",
        (
            "identified",
            "phrase '",
            'phrase "',
            "password '",
            'password "',
            "password(",
            "password (",
            "password \\",
        ),
        (
            r"(?i)(\bidentified[ ]+(?:with[ ]+\S+[ ]+)?(?:by|as)[ ]+(?:password[ ]+)?<OPEN>"
            r"|\bpass(?:word|phrase)[ ]*(?:[ ]|\([ ]*)(?P<r>\\{0,7}[\"']))"
            r"(?(r)(?:(?!(?<!\\)(?P=r))[^\n])+|(?(q)<QUOTED>|[^\s;,)\"']+))"
        ),
        "CREATE USER ann IDENTIFIED BY 'hunter2'",
        "CREATE USER ann IDENTIFIED BY '***'",
    ),
    (
        "user and password in a call",
        ("auth=(", "auth': (", 'auth": (', "basicauth("),
        (
            r"(?i)((?:\bauth[\"']?[=:][ ]?|basicauth)\([ ]*(?:user\w*=)?[\"'][^\"'\n]{0,100}[\"'],"
            r"[ ]*(?:pass\w*=)?<OPEN>)"
            r"(?(q)<QUOTED>|<WORD>)"
        ),
        "requests.get(url, auth=('ann', 'hunter2'))",
        "requests.get(url, auth=('ann', '***'))",
    ),
    (
        "Docker's auth",
        ('auth"', "auth\\"),
        r"(?i)(\"auth\\{0,7}\"[ ]*:[ ]*\\{0,7}\")(?=[\w+/]{0,400}[\d=])[\w+/]{8,}={0,2}",
        '{"auths": {"r.io": {"auth": "YW5uOmh1bnRlcjI="}}}',
        '{"auths": {"r.io": {"auth": "***"}}}',
    ),
    (
        "XML element",
        ("</",),
        (
            r"(?i)(<(?P<e>[\w:.-]{0,40}(?:password|passwd|secret|token|pwd|apikey|api-key))"
            r"(?:\s[^<>]{0,99})?>)[^<]+(?=</(?P=e))"
        ),
        "<user>ann</user><password>hunter2</password>",
        "<user>ann</user><password>***</password>",
    ),
    (
        "netrc",
        ("machine ", "login "),
        r"(?i)(\blogin\s+\S+\s+password\s+)(?![\s'\"])\S+",
        "machine db.example.org login ann password hunter2",
        "machine db.example.org login ann password ***",
    ),
)


# Unquoted words that can follow a name and are not secrets: `using password: YES`, `--token and`.
WORDS = frozenset(
    "none null nil undefined true false yes no not is are was were has must may can cannot should"
    " and or to for from in of on with the a an this that it if too required require requires"
    " missing invalid wrong incorrect empty expected unexpected expired failed denied error unknown"
    " unset value values field argument option options flag given instead needs token tokens realm"
    " scheme header format prefix type credentials key keys len lambda str int itemgetter"
    " attrgetter".split()
)


def hide(text: str) -> str:
    """Put *** in the place of each secret whose shape is in the table."""
    lowered = text.lower()
    for _, hints, pattern, _, _ in ROWS:
        for hint in hints:
            if hint in lowered:
                text = hide_one(pattern, text)
                break
    return text


def hide_one(pattern: str, text: str) -> str:
    """Put *** in the place of what a row's pattern finds."""
    return re.sub(whole_pattern(pattern), _masked, text)


def whole_pattern(pattern: str) -> str:
    """Put the parts into a row's pattern."""
    for name, part in _PARTS.items():
        pattern = pattern.replace(f"<{name}>", part)
    return pattern


def _masked(match: re.Match[str]) -> str:
    whole, kept = match[0], match[1]
    value = whole[len(kept) :]
    if match.groupdict().get("bare") is not None and value.strip(".,:;`").lower() in WORDS:
        return whole
    if len(value) < 3 and not value.isalnum():  # a mark: `invalid token: '}'`
        return whole
    return kept + "***"
