"""Secrets of known shapes are hidden, ordinary messages stay unchanged."""

from __future__ import annotations

import pytest

from autotask.masking import ROWS, hide, hide_one

S = "hunter2"  # in each of SHAPES, and never shown

# A message or a command with a secret, and parts of it that must still be shown.
SHAPES: list[tuple[str, ...]] = [
    # options of commands
    (
        f"curl --user ann:{S} https://db.example.org/x",
        "curl --user ann:",
        " https://db.example.org/x",
    ),
    (f"curl -u ann:{S} https://db/x", "curl -u ann:", " https://db/x"),
    (f"curl -uann:{S} https://db/x", "curl -uann:", " https://db/x"),
    (f"curl -su 'ann:{S} & more' https://db/x", "curl -su 'ann:", "' https://db/x"),
    (f"curl 'https://db/x?a=1&b=2' -u ann:{S}", "curl 'https://db/x?a=1&b=2' -u ann:"),
    (f"curl --proxy-user ann:{S} https://db/x", "curl --proxy-user ann:", "https://db/x"),
    (f"['curl', '-u', 'ann:{S}', 'https://db/x']", "['curl', '-u', 'ann:", "', 'https://db/x']"),
    (f"curl -H 'Authorization: Bearer {S}' https://db/x", "Authorization: Bearer", "https://db/x"),
    (f"curl -H 'X-Api-Key: {S}' https://db/x", "X-Api-Key: ", "' https://db/x"),
    (f'curl -H "PRIVATE-TOKEN: {S}" https://git/x', "PRIVATE-TOKEN: ", '" https://git/x'),
    (f"curl -d 'user=ann&password={S}' https://db/x", "user=ann&password=", "' https://db/x"),
    (f"curl -x http://ann:{S}@proxy:3128 https://db/x", "http://ann:", "@proxy:3128 https://db/x"),
    (f"http -a ann:{S} GET https://db/x", "http -a ann:", " GET https://db/x"),
    (f"wget --user=ann --password={S} https://db/x", "--user=ann --password=", " https://db/x"),
    (f"mysql -u root -p{S} shop", "mysql -u root -p", " shop"),
    (f"mysql -u root -p'{S}' shop", "mysql -u root -p'", "' shop"),
    (f'mysql -u root -p"{S} x" shop', 'mysql -u root -p"', '" shop'),
    (f"['mysql', '-u', 'root', '-p{S}', 'shop']", "'-u', 'root', '-p", "', 'shop']"),
    (f"mysqldump --password={S} shop", "mysqldump --password=", " shop"),
    (f"mysqldump --password '{S}' shop", "mysqldump --password '", "' shop"),
    (f"mariadb-dump -p{S} shop > /srv/shop.sql", "mariadb-dump -p", " shop > /srv/shop.sql"),
    (f"PGPASSWORD={S} psql -h db shop", "PGPASSWORD=", " psql -h db shop"),
    (f"MYSQL_PWD={S} mysql shop", "MYSQL_PWD=", " mysql shop"),
    (f"DBPASS={S} make deploy", "DBPASS=", " make deploy"),
    (f"DB_PASS='{S}' make deploy", "DB_PASS='", "' make deploy"),
    (f"export TOKEN={S}; make deploy", "export TOKEN=", "; make deploy"),
    (f"env SECRET_KEY={S} ./run", "env SECRET_KEY=", " ./run"),
    (f"redis-cli -h cache -a {S} ping", "redis-cli -h cache -a ", " ping"),
    (f"redis-cli --pass {S} ping", "redis-cli --pass ", " ping"),
    (f"docker login -u ann -p {S} r.io", "docker login -u ann -p ", " r.io"),
    (f"docker login --username ann --password {S} r.io", "--username ann --password ", " r.io"),
    (f"echo {S} | docker login --password-stdin r.io", "| docker login --password-stdin r.io"),
    (f"echo '{S}' | sudo -S reboot", "| sudo -S reboot"),
    (f"az login --service-principal -u app -p {S}", "az login --service-principal -u app -p "),
    (f"helm registry login -u ann -p {S} r.io", "helm registry login -u ann -p ", " r.io"),
    (f"kubectl --token={S} get pods", "kubectl --token=", " get pods"),
    (f"vault login {S}", "vault login "),
    (f"vault login -no-print {S}", "vault login -no-print "),
    (f"sshpass -p {S} ssh ann@db", "sshpass -p ", " ssh ann@db"),
    (f"sshpass -p'{S}' ssh ann@db", "sshpass -p'", "' ssh ann@db"),
    (f"openssl enc -d -passin pass:{S} -in a", "openssl enc -d -passin pass:", " -in a"),
    (f"gpg --batch --passphrase {S} -d a.gpg", "gpg --batch --passphrase ", " -d a.gpg"),
    (f"zip -r -P {S} a.zip /srv", "zip -r -P ", " a.zip /srv"),
    (f"7z a -p{S} a.7z /srv", "7z a -p", " a.7z /srv"),
    (f"unrar x -p{S} a.rar", "unrar x -p", " a.rar"),
    (f"ldapsearch -x -D cn=admin -w {S} -b dc=x", "ldapsearch -x -D cn=admin -w ", " -b dc=x"),
    (f"smbclient //nas/share -U ann%{S} -c ls", "smbclient //nas/share -U ann%", " -c ls"),
    (
        f"mount -t cifs -o user=ann,password={S},ro //nas/x /mnt",
        "user=ann,password=",
        ",ro //nas/x",
    ),
    (f"mount -t cifs -o user=ann,pass={S} //nas/x /mnt", "user=ann,pass=", " //nas/x /mnt"),
    (f"htpasswd -b /etc/users ann {S}", "htpasswd -b /etc/users ann "),
    (f"htpasswd -nb ann {S}", "htpasswd -nb ann "),
    (f"net user ann {S} /add", "net user ann ", " /add"),
    (
        f"mongodump --host db -u ann -p {S} --out /srv",
        "mongodump --host db -u ann -p ",
        " --out /srv",
    ),
    (f"sqlcmd -S db -U sa -P {S} -Q 'select 1'", "sqlcmd -S db -U sa -P ", " -Q 'select 1'"),
    (f"sqlplus ann/{S}@orcl @daily.sql", "sqlplus ann/", "@orcl @daily.sql"),
    (f"rabbitmqctl add_user ann {S}", "rabbitmqctl add_user ann "),
    (f"keytool -list -storepass {S} -v", "keytool -list -storepass ", " -v"),
    (f"['run', '--api-key', '{S} x', '-v']", "['run', '--api-key', '", "', '-v']"),
    (f"Command: \"mysql -p'{S}' shop\"\n\nExit code: 1", "Command: ", " shop", "Exit code: 1"),
    (f"Command: 'mysql -p\\'{S}\\' \"shop\"'\n\nExit code: 1", "Command: ", "shop", "Exit code: 1"),
    (f"curl -b 'sid={S}' https://db/x", "curl -b '", "' https://db/x"),
    (f"htpasswd -b -c /etc/users ann '{S}'", "htpasswd -b -c /etc/users ann '"),
    (f"aws configure set aws_secret_access_key {S}", "aws configure set aws_secret_access_key "),
    (f"SECRET_KEY_BASE={S} make", "SECRET_KEY_BASE=", " make"),
    (f"['docker', 'login', '-u', 'ann', '-p', '{S}']", "'-u', 'ann', '-p', '", "']"),
    (f"kubectl config set-credentials ann --token {S} x", "--token ", " x"),
    # URLs
    (f"jdbc:oracle:thin:ann/{S}@db:1521 refused", "jdbc:oracle:thin:ann/", "@db:1521 refused"),
    (f"jdbc:mysql://db/shop?user=ann&password={S}", "jdbc:mysql://db/shop?user=ann&password="),
    (f"https://{S}:x-oauth-basic@github.com/x", "https://", "@github.com/x"),
    (f"https://oauth2:{S}@gitlab.com/x", "https://oauth2:", "@gitlab.com/x"),
    (f"postgres://ann:{S}@db:5432/shop refused", "postgres://ann:", "@db:5432/shop refused"),
    (f"psql postgresql://ann:{S}@db/shop", "psql postgresql://ann:", "@db/shop"),
    (f"postgres://ann:x/{S}/y@db:5432/shop refused", "postgres://ann:", "@db:5432/shop refused"),
    (f"postgres://ann:x@{S}@db:5432/shop refused", "postgres://ann:", "@db:5432/shop refused"),
    (f"postgres://ann:x:{S}@db:5432/shop refused", "postgres://ann:", "@db:5432/shop refused"),
    (f"postgres://ann:x@y/{S}@db:5432/shop refused", "postgres://ann:", "@db:5432/shop refused"),
    (f"postgres://ann:x'{S}@db:5432/shop refused", "postgres://ann:", "@db:5432/shop refused"),
    (f"postgres://ann%40x.org:{S}@db/shop", "postgres://ann%40x.org:", "@db/shop"),
    (f"mongodb+srv://ann:{S}@db.example.org/shop", "mongodb+srv://ann:", "@db.example.org/shop"),
    (f"amqp://ann:{S}@mq/%2F", "amqp://ann:", "@mq/%2F"),
    (f"redis://:{S}@cache:6379/0", "redis://:", "@cache:6379/0"),
    (f"https://{S}@github.com/ann/x.git not found", "https://", "@github.com/ann/x.git not found"),
    (f"git+https://{S}@github.com/ann/x.git", "git+https://", "@github.com/ann/x.git"),
    (f"https://ann:{S}@x.org and https://bob:{S}@y.org", "https://ann:", "@x.org and https://bob:"),
    (f"https://{S}@o1.ingest.sentry.io/42", "https://", "@o1.ingest.sentry.io/42"),
    (f"GET https://s3/x?X-Amz-Signature={S}&X=1", "GET https://s3/x?X-Amz-Signature=", "&X=1"),
    (f"GET https://s3/x?X-Amz-Security-Token={S}", "GET https://s3/x?X-Amz-Security-Token="),
    (f"https://x.blob.core.windows.net/a?sv=2022&sig={S}%3D&se=1", "a?sv=2022&sig=", "&se=1"),
    (f"GET /callback?code={S}&scope=mail", "GET /callback?code=", "&scope=mail"),
    (f"GET /x?access_token={S}&page=2", "GET /x?access_token=", "&page=2"),
    (f"GET /x?api_key={S}&page=2", "GET /x?api_key=", "&page=2"),
    (f"GET /x?apikey={S}&page=2", "GET /x?apikey=", "&page=2"),
    (f"GET /x?key={S}&page=2", "GET /x?key=", "&page=2"),
    (
        f"POST https://hooks.slack.com/services/T02/B02/{S}: 404",
        "POST https://hooks.slack.com/services/",
    ),
    (
        f"POST https://discord.com/api/webhooks/42/{S} failed",
        "discord.com/api/webhooks/",
        " failed",
    ),
    (f"POST https://x.webhook.office.com/webhookb2/{S} failed", "x.webhook.office.com", " failed"),
    (
        f"https://api.telegram.org/bot42:{S}/sendMessage failed",
        "https://api.telegram.org/",
        " failed",
    ),
    # names and values
    (f"login failed: password={S} user=ann", "login failed: password=", " user=ann"),
    (f"pw: {S}", "pw: "),
    (f"bad pw={S}, user=ann", "bad pw=", ", user=ann"),
    (f"password: {S}", "password: "),
    (f"user: ann\npassword: {S}\nhost: db", "user: ann\npassword: ", "\nhost: db"),
    (f"client_secret={S}&grant_type=x", "client_secret=", "&grant_type=x"),
    (f"aws_secret_access_key = {S}", "aws_secret_access_key = "),
    (f"aws_session_token={S}", "aws_session_token="),
    (f"Server=db;Uid=ann;Pwd={S};Timeout=3", "Server=db;Uid=ann;Pwd=", ";Timeout=3"),
    (f"DRIVER={{PG}};UID=ann;PWD={{{S};x}};PORT=3", "DRIVER={PG};UID=ann;PWD={", "};PORT=3"),
    (f"DRIVER={{PG}};UID=ann;PWD={{x}}}}{S};x}};PORT=3", "DRIVER={PG};UID=ann;PWD={", "};PORT=3"),
    (f"AccountName=x;AccountKey={S}+/a==;Suffix=y", "AccountName=x;AccountKey=", ";Suffix=y"),
    (f"Endpoint=sb://x/;SharedAccessKey={S}=;E=y", "Endpoint=sb://x/;SharedAccessKey=", ";E=y"),
    (f"SharedAccessSignature sr=x&sig={S}&se=1", "SharedAccessSignature sr=x&sig=", "&se=1"),
    (f'{{"password": "{S}", "user": "ann"}}', '{"password": "', '", "user": "ann"}'),
    (f'{{"token":"{S}","a":1}}', '{"token":"', '","a":1}'),
    (f'{{"password": "a\\"{S}", "user": "ann"}}', '{"password": "', '", "user": "ann"}'),
    (
        f'{{"body": "{{\\"password\\": \\"{S}\\", \\"a\\": 1}}"}}',
        '\\"password\\": \\"',
        '\\"a\\": 1}',
    ),
    (f'"{{\\\\\\"token\\\\\\": \\\\\\"{S}\\\\\\", \\\\\\"a\\\\\\": 1}}"', "token", "a\\\\\\"),
    (f"{{'password': '{S}', 'a': 1}}", "{'password': '", "', 'a': 1}"),
    (f"{{'password': b'{S}', 'a': 1}}", "{'password': b'", "', 'a': 1}"),
    (f"Login(user='ann', password=SecretStr('{S}'))", "Login(user='ann', password=", "'))"),
    (f"password='it is {S}' was refused", "password='", "' was refused"),
    (f"password%3D{S}%26a", "password"),
    (f"os.environ['API_TOKEN'] = '{S}'", "os.environ['API_TOKEN'] = '", "'"),
    (
        (
            '{"private_key": "-----BEGIN PRIVATE KEY-----\\n'
            f'{S}\\n-----END PRIVATE KEY-----\\n", "id": 1}}'
        ),
        '{"private_key": "',
        '"id": 1}',
    ),
    (f'{{"auths": {{"r.io": {{"auth": "{S}Zm9v"}}}}}}', '{"auths": {"r.io": {"auth": "', '"}}}'),
    (f"requests.get(url, auth=('ann', '{S}'))", "requests.get(url, auth=('ann', '", "'))"),
    (f"HTTPBasicAuth('ann', '{S}') was refused", "HTTPBasicAuth('ann', '", "') was refused"),
    (f"//registry.npmjs.org/:_authToken={S}", "//registry.npmjs.org/:_authToken="),
    (f"<user>ann</user><password>{S}</password>", "<user>ann</user><password>", "</password>"),
    (f"machine db login ann password {S}", "machine db login ann password "),
    (f"otp: {S}", "otp: "),
    (f'{{"SecretAccessKey": "{S}", "a": 1}}', '{"SecretAccessKey": "', '", "a": 1}'),
    (f"{{'auth': ('ann', '{S}')}}", "{'auth': ('ann', '", "')}"),
    (f"password -> {S}", "password -> "),
    (f'wrong passphrase "{S}" for a', 'wrong passphrase "', '" for a'),
    (f"odbc_connect=DRIVER%3Dx%3BPWD%3D{S}%3B", "odbc_connect=DRIVER%3Dx%3BPWD%3D"),
    # headers
    (f"Authorization: Basic {S}", "Authorization: Basic "),
    (f"Authorization: {S} was refused", "Authorization: ", " was refused"),
    (f"Authorization: Splunk {S}", "Authorization: "),
    (
        f"{{'Authorization': 'Bearer {S}', 'Accept': '*'}}",
        "{'Authorization': 'Bearer ",
        "', 'Accept': '*'}",
    ),
    (f"401 for Bearer {S}", "401 for Bearer "),
    ("401 for Bearer hunter2".replace("2", "") + "\0", "401 for Bearer "),
    (f"sent Basic {S}Zm9vOmJhcg==", "sent Basic "),
    (f"DD-API-KEY: {S}", "DD-API-KEY: "),
    (f"DD-APPLICATION-KEY: {S}", "DD-APPLICATION-KEY: "),
    (f"X-Vault-Token: {S}", "X-Vault-Token: "),
    (f"X-Auth-Key: {S}", "X-Auth-Key: "),
    (f"Cookie: sid={S}; theme=dark\nHost: x", "Cookie: ", "\nHost: x"),
    (f"Set-Cookie: sid={S}; Path=/; HttpOnly", "Set-Cookie: "),
    (f"{{'Set-Cookie': 'sid={S}; Path=/', 'Age': '1'}}", "{'Set-Cookie': '", "', 'Age': '1'}"),
    (f"PHPSESSID={S}0123456789abcdef; x", "PHPSESSID=", "; x"),
    # statements
    (f"CREATE USER ann IDENTIFIED BY '{S}'", "CREATE USER ann IDENTIFIED BY '"),
    (f"CREATE USER ann IDENTIFIED WITH caching_sha2_password BY '{S}' X", "CREATE USER ann", "' X"),
    (f"GRANT ALL ON x.* TO 'ann'@'%' IDENTIFIED BY \"{S}\" WITH X", "GRANT ALL ON", '" WITH X'),
    (f"ALTER USER ann IDENTIFIED BY {S};", "ALTER USER ann IDENTIFIED BY ", ";"),
    (
        f"ALTER USER ann WITH ENCRYPTED PASSWORD '{S}' x",
        "ALTER USER ann WITH ENCRYPTED PASSWORD '",
        "' x",
    ),
    (f"SET PASSWORD FOR ann = PASSWORD('{S}')", "SET PASSWORD FOR ann = PASSWORD('", "')"),
    (f"CREATE LOGIN ann WITH PASSWORD = N'{S}', x", "CREATE LOGIN ann WITH PASSWORD = ", ", x"),
    # keys and tokens by their own look
    (
        f"-----BEGIN RSA PRIVATE KEY-----\nMII{S}\nabc\n-----END RSA PRIVATE KEY-----\nx",
        "PRIVATE KEY",
        "\nx",
    ),
    (f"-----BEGIN OPENSSH PRIVATE KEY-----\nMII{S}\nabc", "-----BEGIN OPENSSH PRIVATE KEY-----"),
    (f"-----BEGIN PRIVATE KEY-----\\nMII{S}\\nabc", "-----BEGIN PRIVATE KEY-----"),
    (f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{S}\n-----END PGP PRIVATE KEY BLOCK-----", "PGP"),
    (f"no ghp_{S} here", "no ", " here"),
    (f"no gho_{S} here", "no ", " here"),
    (f"no ghs_{S} here", "no ", " here"),
    (f"no github_pat_11AA_{S} here", "no ", " here"),
    (f"no glpat-{S} here", "no ", " here"),
    (f"no xoxb-2401-{S} here", "no ", " here"),
    (f"no xapp-1-{S} here", "no ", " here"),
    (f"no sk_live_{S} here", "no ", " here"),
    (f"no rk_live_{S} here", "no ", " here"),
    (f"no whsec_{S} here", "no ", " here"),
    (f"no sk-proj-{S}abcdef here", "no ", " here"),
    (f"no sk-ant-api03-{S} here", "no ", " here"),
    (f"no AIzaSyD{S}-abc here", "no ", " here"),
    (f"no ya29.a0{S} here", "no ", " here"),
    (f"no GOCSPX-{S}abc here", "no ", " here"),
    (f"no SG.ngeVfQFYQ.{S} here", "no ", " here"),
    (f"no npm_{S}abcdef here", "no ", " here"),
    (f"no pypi-AgEIcHlwaS5vcmc{S} here", "no ", " here"),
    (f"no dop_v1_{S} here", "no ", " here"),
    (f"no hvs.CAESI{S} here", "no ", " here"),
    (f"no shpat_{S}ab here", "no ", " here"),
    (f"no hf_{S}abcdefgh here", "no ", " here"),
    (f"no eyJhbGciOiJI.eyJzdWIi.{S} here", "no ", " here"),
    (f"no eyJhbGciOiJI{S} here", "no ", " here"),
]
TOKENS = [("no AKIAIOSFODNN7EXAMPLE here", "AKIA"), ("no ASIAIOSFODNN7EXAMPLE here", "ASIA")]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: ascii(shape[0]))
def test_a_secret_is_hidden_and_the_rest_is_shown(shape: tuple[str, ...]) -> None:
    text, *kept = shape
    told = hide(text)
    assert S.rstrip("2") not in told
    assert [piece for piece in kept if piece not in told] == []
    assert "***" in told


@pytest.mark.parametrize(("text", "start"), TOKENS)
def test_the_id_of_a_key_is_hidden(text: str, start: str) -> None:
    assert hide(text) == "no *** here"


INNOCENT = [
    *(
        "",
        "no stock",
        "boom",
        "a:b@c",
        "x" * 20_000,
        "line one\nline two",
        "C:\\keys\\file",
        "/a/b:c",
    ),
    *("'token'", "KeyError: 'token'", "KeyError: 'password'", "'NoneType' has no attribute 'key'"),
    *("the password is wrong", "password is too short", "password: too short", "Password required"),
    *("password: This field is required.", "{'password': ['This field may not be blank.']}"),
    *("Access denied for user 'ann'@'db' (using password: YES)", "password=None", "token: null"),
    "f() got an unexpected keyword argument 'password'",
    "f() missing 2 required positional arguments: 'user' and 'password'",
    'column "password" of relation "users" does not exist',
    "fe_sendauth: no password supplied",
    'FATAL: password authentication failed for user "ann"',
    "the following arguments are required: --password",
    "argument --token: expected one argument",
    "--password and --token are exclusive",
    *("no such key: foo", "unknown key: 'color'", "duplicate key: 5", "sorted(x, key=len)"),
    "duplicate key value violates unique constraint: Key (id)=(5) already exists.",
    "primary key (id)=(5) already exists",
    "Duplicate entry 'ann' for key 'users.email'",
    *("cannot sort: key=lambda", "key=5 is out of range", "primary_key=True", "cache_key=users:5"),
    *(
        "routing_key=orders.new",
        "public_key: ssh-rsa AAAA",
        "monkey=5",
        "monkey business",
        "keys=3",
    ),
    *("unexpected token < in JSON at position 12", "Unexpected token: '}' at line 5", "tokens: 5"),
    *("max_tokens=4096", "token_type=bearer", "Token::new failed", "syntax error near token `fi'"),
    'failed to get token: Get "https://idp/x": dial tcp: timeout',
    "cannot read secret: open /run/secrets/db: no such file or directory",
    *('secrets "db" not found', "secret: permission denied", "secret_name=db-credentials"),
    *("exit code=3", "code=404", "GET /x?code=404", "GET /x?page=2&state=open", "status code: 500"),
    *("GET /x?sig=9", "sig=SIGTERM", "killed by sig=9", "signature verification failed"),
    "signature=(self, x, *args)",
    *(
        "the author: x",
        "author=ann",
        "authorization failed",
        "Authorization: None",
        "authorized: yes",
    ),
    *("compass: north", "bypass=1", "COMPASS=north", "PASSED: 3", "pass: 3, fail: 2", "tests pass"),
    *("the bearer of news", "Bearer token required", "Bearer realm=api", "token type: Bearer"),
    *("Basic authentication failed", "Basic setup/teardown", "CSRF cookie not set.", "no cookies"),
    *("http://x.org:8080/a@b", "see https://x.org/?a=1&b=2", "http://[::1]:8080/", "x.org:443/a@b"),
    *("ssh://git@github.com/ann/x.git", "git@github.com:ann/x.git", "mail ann@x.org: no"),
    *("postgresql://ann@db/shop", "https://registry.npmjs.org/@scope%2Fpkg", "s3://bucket/a:b@c"),
    *("mysql -h db --port 3", "mysql -h db -P 3306 shop", "mysql -p shop", "curl -u", "cp -p a b"),
    "['mysql', '-p', 'shop']",
    "Command failed: 'useradd -m -p' returned 2",
    *("Invalid token: '}'", "token=<EOF>", "for key in d: if key == 5", "key == 'a', key != 'b'"),
    "Command failed: 'docker run --rm -p 8080:80 --user www-data:www-data nginx' returned 125",
    "Command failed: 'kubectl create secret generic db --from-file=pw.txt' returned 1",
    "Command failed: 'curl -X POST -H \"Content-Type: text/plain\" https://x:8443/a' returned 22",
    "Command failed: 'mysql -u root -h db shop < daily.sql' returned 1",
    "Command failed: 'pass show email/x' returned 1",
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    'ERROR: null value in column "token" of relation "sessions"',
    "password: ensure this field has at least 8 characters.",
    "mongodb://db1:27017,db2:27017/shop?replicaSet=rs0 timed out",
    "(535, b'5.7.8 Username and Password not accepted.')",
    *(
        "rsync --password-file /etc/rsync.pw a b",
        "rsync --password-file=/etc/pw a b",
        "mkdir -p /srv",
    ),
    *(
        "docker run --user 1000:1000 -p 80:80 x",
        "docker login --password-stdin r.io",
        "ssh -p 22 db",
    ),
    *("curl --key /etc/ssl/key.pem https://x", "ssh-keygen -t rsa", "sort --key 2 a", "sort -k2 a"),
    *(
        "zip -r a.zip /srv",
        "7z x a.7z",
        "ldapsearch -W -b dc=x",
        "vault login failed",
        "echo a | wc",
    ),
    *("PWD=/srv/shop", "OLDPWD=/root; PWD=~/x", "pwd: command not found", "redis-cli ping"),
    *("npm_config_cache=/x", "npm_lifecycle_event", "task-12345678901234", "risk-averse", "disk-1"),
    *(
        "pypi-server is down",
        "global_glossary",
        "lists.hf_hub",
        "x.sg.y",
        "-----BEGIN CERTIFICATE-----",
    ),
    *(
        "password = ''",
        'token=""',
        "net user growth slowed",
        "IDENTIFIED BY",
        "<password></password>",
    ),
    *("login failed: -p", "git -c credential.helper= clone", "passwordless login", "session_id=5"),
    "[Errno 2] No such file or directory: '/etc/keys/token.json'",
    "Command failed: 'grep -c 43 figures.csv' returned 1",
    "GOOGLE_APPLICATION_CREDENTIALS=/etc/gcp.json is no file",
    'could not translate host name "db" to address: Name or service not known',
    "HTTPSConnectionPool(host='x.org', port=443): Max retries exceeded with url: /a?b=1",
    "invalid literal for int() with base 10: 'key'",
    "time data 'tomorrow' does not match format '%Y-%m-%d'",
]


@pytest.mark.parametrize("text", INNOCENT, ids=lambda text: ascii(text[:60]))
def test_an_ordinary_message_is_unchanged(text: str) -> None:
    assert hide(text) == text


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_only_its_own_row_masks_the_example_of_a_row(
    row: tuple[str, tuple[str, ...], str, str, str],
) -> None:
    _, hints, pattern, example, masked = row
    assert hide_one(pattern, example) == masked
    assert hide(example) == masked
    assert hide(masked) == masked
    assert all(hint == hint.lower() for hint in hints)


def test_the_tables_have_enough_rows() -> None:
    assert len({shape[0] for shape in SHAPES}) >= 85
    assert len(set(INNOCENT)) >= 60
