# What secrets look like, for masking.rb.
# Made by tests/ruby/ruby_patterns.py from the rows of autotask/masking.py: change those.
# frozen_string_literal: true

module AutotaskAgent
  module Patterns
    # Hints in lower case, and a pattern: all but its group `kept` is masked.
    ROWS = [
      # private key in PEM
      [['private key'],
       '(?<kept>\\-\\-\\-\\-\\-BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?\\-\\-\\-\\-\\-)(?m:.)+?(?=(?:\\-\\-\\-\\-\\-END|\\z))'],
      # token in the place of a URL's user
      [['://'],
       '(?<kept>(?<![a-z0-9\\+\\.\\-A-Z\\u0130-\\u0131\\u017f\\u212a])(?:(?:[gG][iI\\u0130-\\u0131][tT]\\+)?[hH][tT][tT][pP][sS\\u017f]?:\\/\\/|[a-zA-Z\\u0130-\\u0131\\u017f\\u212a][a-z0-9\\+\\.\\-A-Z\\u0130-\\u0131\\u017f\\u212a]{0,30}:\\/\\/(?=[^[:space:]\\x1c-\\x1f\\/@:]{20,20})))[^[:space:]\\x1c-\\x1f\\/@:"\'<>\\?]{1,500}(?=(?:@|:(?:[xX]\\-[oO][aA][uU][tT][hH]\\-[bB][aA][sS\\u017f][iI\\u0130-\\u0131][cC])?@))'],
      # password in a URL
      [['://'],
       '(?<kept>(?<![a-z0-9\\+\\.\\-A-Z\\u0130-\\u0131\\u017f\\u212a])[a-zA-Z\\u0130-\\u0131\\u017f\\u212a][a-z0-9\\+\\.\\-A-Z\\u0130-\\u0131\\u017f\\u212a]{0,30}:\\/\\/[^[:space:]\\x1c-\\x1f\\/:"\'<>]{0,200}:)(?![\\p{Nd}]{1,5}(?:[\\/\\?\\#"\'[:space:]\\x1c-\\x1f]|\\z))(?=[^[:space:]\\x1c-\\x1f@]{1,500}@)(?:[^[:space:]\\x1c-\\x1f"\'<>\\?,]{1,500}|[^[:space:]\\x1c-\\x1f]{1,500})(?=@)'],
      # webhook
      [['hook', 'hc-ping', '/bot'],
       '(?<kept>(?:[hH][oO][oO][kK\\u212a][sS\\u017f]\\.[sS\\u017f][lL][aA][cC][kK\\u212a](?:\\-[gG][oO][vV])?\\.[cC][oO][mM]\\/(?:[sS\\u017f][eE][rR][vV][iI\\u0130-\\u0131][cC][eE][sS\\u017f]|[wW][oO][rR][kK\\u212a][fF][lL][oO][wW][sS\\u017f]|[tT][rR][iI\\u0130-\\u0131][gG][gG][eE][rR][sS\\u017f])|[dD][iI\\u0130-\\u0131][sS\\u017f][cC][oO][rR][dD](?:[aA][pP][pP])?\\.[cC][oO][mM]\\/[aA][pP][iI\\u0130-\\u0131]\\/(?:[vV][\\p{Nd}]+\\/)?[wW][eE][bB][hH][oO][oO][kK\\u212a][sS\\u017f]|[wW][eE][bB][hH][oO][oO][kK\\u212a]\\.[oO][fF][fF][iI\\u0130-\\u0131][cC][eE]\\.[cC][oO][mM]\\/[wW][eE][bB][hH][oO][oO][kK\\u212a][bB]2|[oO][uU][tT][lL][oO][oO][kK\\u212a]\\.[oO][fF][fF][iI\\u0130-\\u0131][cC][eE](?:365)?\\.[cC][oO][mM]\\/[wW][eE][bB][hH][oO][oO][kK\\u212a]|[hH][oO][oO][kK\\u212a][sS\\u017f]\\.[zZ][aA][pP][iI\\u0130-\\u0131][eE][rR]\\.[cC][oO][mM]\\/[hH][oO][oO][kK\\u212a][sS\\u017f]\\/[cC][aA][tT][cC][hH]|[hH][cC]\\-[pP][iI\\u0130-\\u0131][nN][gG]\\.[cC][oO][mM]|[cC][hH][aA][tT]\\.[gG][oO][oO][gG][lL][eE][aA][pP][iI\\u0130-\\u0131][sS\\u017f]\\.[cC][oO][mM]\\/[vV]1\\/[sS\\u017f][pP][aA][cC][eE][sS\\u017f]\\/[\\p{L}\\p{N}_\\-]+\\/[mM][eE][sS\\u017f][sS\\u017f][aA][gG][eE][sS\\u017f]|[aA][pP][iI\\u0130-\\u0131]\\.[tT][eE][lL][eE][gG][rR][aA][mM]\\.[oO][rR][gG]\\/[bB][oO][tT])\\/?)[^[:space:]\\x1c-\\x1f"\'<>\\)\\]]+'],
      # signature or code in a query
      [['sig', 'code=', 'state=', 'x-amz-', 'x-goog-', 'ticket='],
       '(?<kept>(?<![a-z0-9A-Z\\u0130-\\u0131\\u017f\\u212a])(?:[xX]\\-(?:[aA][mM][zZ]|[gG][oO][oO][gG])\\-(?:[sS\\u017f][iI\\u0130-\\u0131][gG][nN][aA][tT][uU][rR][eE]|[sS\\u017f][eE][cC][uU][rR][iI\\u0130-\\u0131][tT][yY]\\-[tT][oO][kK\\u212a][eE][nN]|[cC][rR][eE][dD][eE][nN][tT][iI\\u0130-\\u0131][aA][lL])|(?<![^\\?\\&;[:space:]\\x1c-\\x1f"\'])[sS\\u017f][iI\\u0130-\\u0131][gG](?:|[nN][aA][tT][uU][rR][eE])|(?<=[\\?\\&])(?:[cC][oO][dD][eE]|[sS\\u017f][tT][aA][tT][eE]|[tT][iI\\u0130-\\u0131][cC][kK\\u212a][eE][tT]|[oO][aA][uU][tT][hH]_[sS\\u017f][iI\\u0130-\\u0131][gG][nN][aA][tT][uU][rR][eE]|[hH](?:[mM][aA][cC])?))=)(?=[^[:space:]\\x1c-\\x1f\\&]{0,400}[\\p{Nd}])(?![\\p{Nd}]{1,5}(?![\\p{L}\\p{N}_\\.@\\/\\+=%\\-]))[^[:space:]\\x1c-\\x1f\\&"\'<>\\#\\)\\]]{6,}'],
      # authorization header
      [['authorization'],
       '(?<kept>(?:[aA][uU][tT][hH][oO][rR][iI\\u0130-\\u0131][zZ][aA][tT][iI\\u0130-\\u0131][oO][nN])\\\\{0,7}["\']?\\]?[ \\x09]{0,20}(?:[=\\-]>|:=|={1,2}(?!=)|:(?![:\\/=])|%3[ADad])[ \\x09]{0,20}(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?(?!(?:[\\p{L}\\p{N}_\\-]+ )?\\*\\*\\*)(?:(?:(?:[bB][aA][sS\\u017f][iI\\u0130-\\u0131][cC]|[bB][eE][aA][rR][eE][rR]|[tT][oO][kK\\u212a][eE][nN]|[dD][iI\\u0130-\\u0131][gG][eE][sS\\u017f][tT]|[nN][eE][gG][oO][tT][iI\\u0130-\\u0131][aA][tT][eE]|[nN][tT][lL][mM]|(?:[aA][pP][iI\\u0130-\\u0131]\\-?)?[kK\\u212a][eE][yY]|[a-z\\-A-Z\\u0130-\\u0131\\u017f\\u212a]{1,30}(?= (?:[[^[:space:]\\x1c-\\x1f]]{16,16}|[[^[:space:]\\x1c-\\x1f]]{0,15}[\\p{Nd}])))) +)?(?(<q>)|(?!(?:[\\[<]|\\{?\\*\\*\\*|(?<=: )[A-Za-z]{1,30}[:,]? [A-Za-z\\(\\["\'\\/<]))(?<bare>)))(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f,:;\\&"\'\\)\\]\\}]|[:\\)\\]\\}"\'](?=[^[:space:]\\x1c-\\x1f,;\\&"\'\\)\\]\\}])))+)'],
      # bearer token
      [['bearer '],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[bB][eE][aA][rR][eE][rR] +)(?:(?=(?:[^[:space:]\\x1c-\\x1f"\',;]{0,400}[\\p{Nd}]|[^[:space:]\\x1c-\\x1f"\',;]{16,16}))|(?:(?<=Bearer )))(?!(?:[aA][uU][tT][hH]|[rR][eE][aA][lL][mM]))(?<bare>)[^[:space:]\\x1c-\\x1f"\',;\\)\\]\\}]+'],
      # basic credentials
      [['basic '],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[Bb]asic +)(?=[A-Za-z0-9\\+\\/]{0,400}[\\p{Nd}=])[A-Za-z0-9\\+\\/]{8,}={0,2}'],
      # cookie
      [['cookie', 'sessid', 'session_id', 'sessionid'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:[sS\\u017f][eE][tT]\\-)?[cC][oO][oO][kK\\u212a][iI\\u0130-\\u0131][eE]\\\\{0,7}["\']?\\]?[ \\x09]{0,20}(?:[=\\-]>|:=|={1,2}(?!=)|:(?![:\\/=])|%3[ADad])[ \\x09]{0,20}(?:(?:(?:[bB]|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?![nN](?:[oO][nN][eE]|[uU][lL][lL])(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_])))(?(<q>)(?:(?!(?<!\\\\)(?i:\\k<q>))(?m:.))+|[^\\x0a"\']+)'],
      # id of a session
      [['sess'],
       '(?<kept>[sS\\u017f][eE][sS\\u017f][sS\\u017f](?:[iI\\u0130-\\u0131][oO][nN])?_?[iI\\u0130-\\u0131][dD]\\\\{0,7}["\']?\\]?[ \\x09]{0,20}(?:[=\\-]>|:=|={1,2}(?!=)|:(?![:\\/=])|%3[ADad])[ \\x09]{0,20}(?:(?:(?:[bB]|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?=[a-zA-Z\\u0130-\\u0131\\u017f\\u212a]{0,99}[\\p{Nd}])(?=[\\p{Nd}]{0,99}[a-zA-Z\\u0130-\\u0131\\u017f\\u212a])[^[:space:]\\x1c-\\x1f,;\\&"\'\\)\\]\\}]{7,}'],
      # JSON Web Token
      [['eyj'],
       '(?<kept>)(?<![\\p{L}\\p{N}_\\-])eyJ[\\p{L}\\p{N}_\\-]{6,}(?:\\.[\\p{L}\\p{N}_\\-]*){0,4}'],
      # token of AWS
      [['akia', 'asia', 'abia', 'acca'],
       '(?<kept>)(?<![A-Za-z0-9])A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{8,}'],
      # token of GitHub or GitLab
      [['gho_', 'ghp_', 'ghr_', 'ghs_', 'ghu_', 'github_pat_', 'gl'],
       '(?<kept>)(?<![A-Za-z0-9])g(?:h[oprsu]_|ithub_pat_|l(?:pat|ptt|rt|dt|cbt|ft|soat|agent)\\-)[\\p{L}\\p{N}_\\-]{5,}'],
      # token of Slack
      [['xox', 'xapp-'],
       '(?<kept>)(?<![A-Za-z0-9])x(?:ox[a-z](?:\\.xox[a-z])?|app)\\-[\\p{L}\\p{N}_\\-]{5,}'],
      # token of Stripe
      [['k_live_', 'k_test_', 'whsec_'],
       '(?<kept>)(?<![A-Za-z0-9])(?:[prs]k_(?:live|test)|whsec)_[\\p{L}\\p{N}_]{5,}'],
      # token of OpenAI, Anthropic
      [['sk-'],
       '(?<kept>)(?<![\\p{L}\\p{N}_\\-])sk\\-(?=[\\p{L}\\p{N}_\\-]{0,200}[\\p{Nd}])[\\p{L}\\p{N}_\\-]{12,}'],
      # token of Google
      [['aiza', 'ya29.', 'gocspx-', '1//0'],
       '(?<kept>)(?<![\\p{L}\\p{N}_\\-])(?:AIza[\\p{L}\\p{N}_\\-]{8,}|ya29\\.[\\p{L}\\p{N}_\\.\\-]{5,}|GOCSPX\\-[\\p{L}\\p{N}_\\-]{8,}|1\\/\\/0[\\p{L}\\p{N}_\\-]{16,})'],
      # token of SendGrid, Mailgun, Twilio, Telegram
      [['sg.', 'key-', 'sk', ':aa'],
       '(?<kept>)(?<![\\p{L}\\p{N}_\\-])(?:SG\\.(?=[\\p{L}\\p{N}_\\.\\-]{0,200}[\\p{Nd}])[\\p{L}\\p{N}_\\-]{6,}\\.[\\p{L}\\p{N}_\\-]{6,}|key\\-[0-9a-f]{32,32}|SK[0-9a-f]{32,32}|[\\p{Nd}]{8,10}:AA[\\p{L}\\p{N}_\\-]{30,})'],
      # token of npm, PyPI, RubyGems, Docker
      [['npm_', 'pypi-', 'rubygems_', 'dckr_'],
       '(?<kept>)(?<![\\p{L}\\p{N}_\\-])(?:npm_(?=[A-Za-z0-9]{0,99}[\\p{Nd}])[A-Za-z0-9]{7,}|pypi\\-(?=[\\p{L}\\p{N}_\\-]{0,300}[A-Z])(?=[\\p{L}\\p{N}_\\-]{0,300}[\\p{Nd}])[\\p{L}\\p{N}_\\-]{10,}|rubygems_[0-9a-f]{16,}|dckr_[a-z]{3,3}_[\\p{L}\\p{N}_\\-]{8,})'],
      # token of a cloud or a service
      [['dop_v1_', 'doo_v1_', 'dor_v1_', 'hvs.', 'hvb.', 'hvr.', 'shpat_', 'shpss_', 'hf_', 'glsa_', 'dapi', 'nrak-', 'lin_api_', 'pmak-', 'atatt3', 'gsk_', 'xai-', 'figd_', 'sq0', 'sntry', 'age-secret-key-', 'pscale_', 'tskey-', 'fo1_', 'rk-', 'ops_'],
       '(?<kept>)(?<![\\p{L}\\p{N}_\\-])(?:do[opr]_v1_[\\p{L}\\p{N}_]{5,}|hv[bsr]\\.[\\p{L}\\p{N}_\\-]{5,}|shp(?:at|ss|ca|pa)_[\\p{L}\\p{N}_]{8,}|(?:hf|gsk)_(?=[\\p{L}\\p{N}_]{0,99}[\\p{Nd}])[A-Za-z0-9]{12,}|glsa_[\\p{L}\\p{N}_]{8,}|dapi[0-9a-f]{16,}|NRAK\\-[\\p{L}\\p{N}_\\-]{8,}|lin_api_[\\p{L}\\p{N}_]{8,}|PMAK\\-[\\p{L}\\p{N}_\\-]{8,}|ATATT3[\\p{L}\\p{N}_=\\-]{8,}|xai\\-(?=[\\p{L}\\p{N}_]{0,99}[\\p{Nd}])[\\p{L}\\p{N}_]{16,}|figd_[\\p{L}\\p{N}_\\-]{8,}|sq0[a-z]{3,3}\\-[\\p{L}\\p{N}_\\-]{8,}|sntry[su]_[\\p{L}\\p{N}_=\\+\\/\\-]{8,}|AGE\\-SECRET\\-KEY\\-1[\\p{L}\\p{N}_]{8,}|pscale_[\\p{L}\\p{N}_]{8,}|tskey\\-[\\p{L}\\p{N}_\\-]{8,}|fo1_[\\p{L}\\p{N}_\\-]{8,}|ops_eyJ[\\p{L}\\p{N}_\\-]{8,})'],
      # password in braces (ODBC)
      [['={', '= {'],
       '(?<kept>[pP](?:[wW][dD]|[aA][sS\\u017f][sS\\u017f][wW][oO][rR][dD]) ?= ?\\{)(?:(?:[^\\{\\}\\x0a]|\\}\\}))+'],
      # password, secret or token by its name
      [['passw', 'passp', 'pass p', 'passcode', 'pwd', 'secret', 'token', 'jwt', 'otp', '_auth', 'key=', 'key:', 'key =', 'key\'', 'key"', 'key\\', 'key%', 'key0', 'key1', 'key_base'],
       '(?<kept>(?:(?=[a-z_A-Z\\u0130-\\u0131\\u017f\\u212a])(?:[pP][aA][sS\\u017f][sS\\u017f][wW](?:[oO][rR])?[dD]|[pP][aA][sS\\u017f][sS\\u017f] ?[pP][hH][rR][aA][sS\\u017f][eE]|[pP][aA][sS\\u017f][sS\\u017f][cC][oO][dD][eE]|[sS\\u017f][eE][cC][rR][eE][tT]|(?<![uU][nN][eE][xX][pP][eE][cC][tT][eE][dD] )[tT][oO][kK\\u212a][eE][nN]|[pP][wW][dD](?![[:space:]\\x1c-\\x1f]?=[[:space:]\\x1c-\\x1f]?[\\/~])|(?<=[;_])[pP][wW][dD]|(?<![a-zA-Z\\u0130-\\u0131\\u017f\\u212a])(?:[jJ][wW][tT]|[tT]?[oO][tT][pP])|(?<![a-zA-Z\\u0130-\\u0131\\u017f\\u212a])_[aA][uU][tT][hH]|(?<![a-zA-Z\\u0130-\\u0131\\u017f\\u212a])(?:[aA][pP][iI\\u0130-\\u0131]|[aA][cC][cC][eE][sS\\u017f][sS\\u017f]|[sS\\u017f][eE][cC][rR][eE][tT]|[sS\\u017f][eE][cC][rR][eE][tT]_?[aA][cC][cC][eE][sS\\u017f][sS\\u017f]|[pP][rR][iI\\u0130-\\u0131][vV][aA][tT][eE]|[aA][cC][cC][oO][uU][nN][tT]|[aA][uU][tT][hH]|[aA][pP][pP]|[aA][pP][pP][lL][iI\\u0130-\\u0131][cC][aA][tT][iI\\u0130-\\u0131][oO][nN]|[eE][nN][cC][rR][yY][pP][tT][iI\\u0130-\\u0131][oO][nN]|[sS\\u017f][iI\\u0130-\\u0131][gG][nN][iI\\u0130-\\u0131][nN][gG]|[mM][aA][sS\\u017f][tT][eE][rR]|[sS\\u017f][uU][bB][sS\\u017f][cC][rR][iI\\u0130-\\u0131][pP][tT][iI\\u0130-\\u0131][oO][nN]|[lL][iI\\u0130-\\u0131][cC][eE][nN][sS\\u017f][eE]|[sS\\u017f][tT][oO][rR][aA][gG][eE]|[sS\\u017f][eE][rR][vV][iI\\u0130-\\u0131][cC][eE]|[dD][eE][pP][lL][oO][yY]|[aA][dD][mM][iI\\u0130-\\u0131][nN]|[sS\\u017f][hH][aA][rR][eE][dD]|[cC][oO][nN][sS\\u017f][uU][mM][eE][rR]|[wW][eE][bB][hH][oO][oO][kK\\u212a]|[sS\\u017f][eE][sS\\u017f][sS\\u017f][iI\\u0130-\\u0131][oO][nN]|[iI\\u0130-\\u0131][nN][gG][eE][sS\\u017f][tT]|[wW][rR][iI\\u0130-\\u0131][tT][eE]|[fF][eE][rR][nN][eE][tT])[_ \\-]?[kK\\u212a][eE][yY]|[sS\\u017f][hH][aA][rR][eE][dD][aA][cC][cC][eE][sS\\u017f][sS\\u017f][kK\\u212a][eE][yY]|[aA][pP][iI\\u0130-\\u0131][kK\\u212a][eE][yY])(?:(?:_[bB][aA][sS\\u017f][eE]|[\\p{Nd}]{1,2}))?)\\\\{0,7}["\']?\\]?[ \\x09]{0,20}(?:[=\\-]>|:=|={1,2}(?!=)|:(?![:\\/=])|%3[ADad])[ \\x09]{0,20}(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?(?(<q>)|(?!(?:[\\[<]|\\{?\\*\\*\\*|(?<=: )[A-Za-z]{1,30}[:,]? [A-Za-z\\(\\["\'\\/<]))(?<bare>)))(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f,:;\\&"\'\\)\\]\\}]|[:\\)\\]\\}"\'](?=[^[:space:]\\x1c-\\x1f,;\\&"\'\\)\\]\\}])))+)'],
      # pass, pw, key and what ends in them
      [['pass=', 'pass:', 'pass\'', 'pass"', 'pass =', 'pass :', 'pass\\', 'pw', 'psk', 'key=', 'key =', 'key\'', 'key"'],
       '(?<kept>(?:(?=[\\p{L}\\p{N}_\\-])(?:(?<![a-zA-Z\\u0130-\\u0131\\u017f\\u212a])(?:[pP][wW]|[pP][sS\\u017f][kK\\u212a]|(?:[Pp]ass)|(?<=_)[pP][aA][sS\\u017f][sS\\u017f]|[pP][aA][sS\\u017f][sS\\u017f](?=(?: ?=|["\'])))|(?<![a-zA-Z\\u0130-\\u0131\\u017f\\u212a])(?:[dD][bB]|[mM][yY]|[sS\\u017f][qQ][lL]|[uU][sS\\u017f][rR]|[uU][sS\\u017f][eE][rR]|[sS\\u017f][mM][tT][pP]|[fF][tT][pP]|[mM][aA][iI\\u0130-\\u0131][lL]|[rR][oO][oO][tT]|[aA][dD][mM][iI\\u0130-\\u0131][nN]|[sS\\u017f][uU][dD][oO]|[lL][dD][aA][pP]|[rR][eE][dD][iI\\u0130-\\u0131][sS\\u017f]|[pP][gG]|[mM][yY][sS\\u017f][qQ][lL]|[sS\\u017f][tT][oO][rR][eE]|[kK\\u212a][eE][yY]|[lL][oO][gG][iI\\u0130-\\u0131][nN]|[mM][qQ]|[aA][pP][pP]|[wW][iI\\u0130-\\u0131][fF][iI\\u0130-\\u0131]|[sS\\u017f][sS\\u017f][hH]|[hH][tT][tT][pP]|[pP][rR][oO][xX][yY]|[bB][iI\\u0130-\\u0131][nN][dD])[pP][aA][sS\\u017f][sS\\u017f]|(?<![\\p{L}\\p{N}_\\-])(?![\\p{L}\\p{N}_\\-]{0,40}(?:[pP][rR][iI\\u0130-\\u0131][mM][aA][rR][yY]|[fF][oO][rR][eE][iI\\u0130-\\u0131][gG][nN]|[pP][uU][bB][lL][iI\\u0130-\\u0131][cC]|[pP][aA][rR][tT][iI\\u0130-\\u0131][tT][iI\\u0130-\\u0131][oO][nN]|[sS\\u017f][oO][rR][tT]|[cC][aA][cC][hH][eE]|[rR][oO][uU][tT][iI\\u0130-\\u0131][nN][gG]|[gG][rR][oO][uU][pP]|[hH][aA][sS\\u017f][hH]|[rR][aA][nN][gG][eE]|[rR][oO][wW]|[oO][bB][jJ][eE][cC][tT]|[uU][nN][iI\\u0130-\\u0131][qQ][uU][eE]|[iI\\u0130-\\u0131][dD][eE][mM][pP][oO][tT][eE][nN][cC][yY]|[mM][eE][sS\\u017f][sS\\u017f][aA][gG][eE]|[hH][oO][sS\\u017f][tT]|[iI\\u0130-\\u0131][nN][dD][eE][xX]|[lL][oO][oO][kK\\u212a][uU][pP]|[mM][aA][pP])[_\\-]?[kK\\u212a][eE][yY])(?:(?:[\\p{L}\\p{N}_\\-]{0,60}[_\\-])?[kK\\u212a][eE][yY]|(?:[\\p{L}\\p{N}_]{0,60}[a-z0-9]Key))(?=["\']? ?=(?!=))))\\\\{0,7}["\']?\\]?[ \\x09]{0,20}(?:[=\\-]>|:=|={1,2}(?!=)|:(?![:\\/=])|%3[ADad])[ \\x09]{0,20}(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?(?(<q>)|(?!(?:[\\[<]|\\{?\\*\\*\\*|(?<=: )[A-Za-z]{1,30}[:,]? [A-Za-z\\(\\["\'\\/<]))(?<bare>))(?![\\p{Nd}]{1,5}(?![\\p{L}\\p{N}_\\.@\\/\\+=%\\-])))(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f,:;\\&"\'\\)\\]\\}]|[:\\)\\]\\}"\'](?=[^[:space:]\\x1c-\\x1f,;\\&"\'\\)\\]\\}])))+)'],
      # option of a command
      [['-pass', '-token', '-secret', '-key', '-pwd', '-pw', '-pin', 'pass ', ' set ', 'env '],
       '(?<kept>(?:(?<![^[:space:]\\x1c-\\x1f\'"])\\-\\-?|(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[cC][oO][nN][fF][iI\\u0130-\\u0131][gG](?:[uU][rR][eE])? [sS\\u017f][eE][tT] |(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[Ee][Nn][Vv] )[\\p{L}\\p{N}_\\.\\/:\\-]{0,60}(?:(?:[pP][aA][sS\\u017f][sS\\u017f]|[pP][aA][sS\\u017f][sS\\u017f][wW][dD]|[pP][aA][sS\\u017f][sS\\u017f][wW][oO][rR][dD]|[pP][aA][sS\\u017f][sS\\u017f][pP][hH][rR][aA][sS\\u017f][eE]|[pP][aA][sS\\u017f][sS\\u017f][cC][oO][dD][eE]|[sS\\u017f][eE][cC][rR][eE][tT]|[tT][oO][kK\\u212a][eE][nN]|[pP][wW][dD]|[pP][wW]|[pP][iI\\u0130-\\u0131][nN])|[kK\\u212a][eE][yY](?=(?:["\'],)?[ \\x09]+["\']?[^\\/~\\.\\p{Nd}[:space:]\\x1c-\\x1f\\-]))(?:["\'],)?[ \\x09]+(?:(?:(?:[bB]|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?![[:space:]\\x1c-\\x1f\'"\\-])(?(<q>)(?:(?!(?<!\\\\)(?i:\\k<q>))(?m:.))+|(?<bare>)(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # curl -u, --user
      [['curl ', 'curl\'', 'curl"', 'http ', 'https '],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:curl|https?)(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[^\\x0a]{0,300}?[[:space:]\\x1c-\\x1f\'"]\\-(?:[a-zA-Z]{0,5}[uaU]|\\-user|\\-proxy\\-user|\\-auth)(?:(?:["\'],)?[ \\x09]+|=|(?=[\\p{L}\\p{N}_]))(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?[^[:space:]\\x1c-\\x1f:\'"\\/]{1,100}:)(?!\\/\\/)(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # cookie for curl
      [['curl ', 'curl\'', 'curl"'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))curl(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[^\\x0a]{0,300}?[[:space:]\\x1c-\\x1f\'"]\\-(?:b|\\-cookie)(?:(?:["\'],)?[ \\x09]+|=)(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?=[^[:space:]\\x1c-\\x1f\'"]{1,200}=)(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # mysql -p
      [['mysql', 'mariadb', 'mycli'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))m(?:ysql|ariadb|ycli)[\\p{L}\\p{N}_\\-]*(?=[[:space:]\\x1c-\\x1f\'"])[^;\\|\\x0a]{0,200}?[[:space:]\\x1c-\\x1f\'"]\\-p(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?![,[:space:]\\x1c-\\x1f\'"])(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # -p of a login and of some programs
      [[' -p', '\'-p', '"-p'],
       '(?<![\\p{L}\\p{N}_\\/\\.\\-])(?<kept>(?:login|sshpass|mongo[\\p{L}\\p{N}_]*|cqlsh|rabbitmqadmin|usermod|useradd|plink|pscp)(?=[[:space:]\\x1c-\\x1f\'"])[^;\\|\\x0a]{0,200}?[[:space:]\\x1c-\\x1f\'"]\\-p(?:|w)(?:(?:["\'],)?[ \\x09]+)?(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?![[:space:]\\x1c-\\x1f\'"\\-])(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # -P of some programs
      [['zip', 'sqlcmd', 'bcp', 'mosquitto', 'ipmitool', 'isql', 'tsql', 'osql'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:zip|unzip|zipcloak|sqlcmd|bcp|mosquitto_[\\p{L}\\p{N}_]+|ipmitool|isql|tsql|osql)(?=[[:space:]\\x1c-\\x1f\'"])[^;\\|\\x0a]{0,200}?[[:space:]\\x1c-\\x1f\'"]\\-P(?:(?:["\'],)?[ \\x09]+)?(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?![[:space:]\\x1c-\\x1f\'"\\-])(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # -p of archivers
      [['7z', 'rar'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:7z[arz]?|rar|unrar)(?=[[:space:]\\x1c-\\x1f\'"])[^;\\|\\x0a]{0,200}?[[:space:]\\x1c-\\x1f\'"]\\-h?p(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?![[:space:]\\x1c-\\x1f\'"])(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # redis-cli -a, ldapsearch -w
      [['redis-cli', 'ldap'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:redis\\-cli(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[^;\\|\\x0a]{0,200}?[[:space:]\\x1c-\\x1f\'"](?:\\-a|AUTH)|ldap[\\p{L}\\p{N}_]+(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[^;\\|\\x0a]{0,200}?[[:space:]\\x1c-\\x1f\'"]\\-w)(?:["\'],)?[ \\x09]+(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?![[:space:]\\x1c-\\x1f\'"\\-])(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # user%password (Samba)
      [['%'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:smb[\\p{L}\\p{N}_]+|rpcclient|net|winexe|wmic|nmblookup)(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[^;\\|\\x0a]{0,200}?[[:space:]\\x1c-\\x1f\'"]\\-(?:U|\\-user)(?:(?:(?:["\'],)?[ \\x09]+|=))?(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?[^[:space:]\\x1c-\\x1f%\'"]{1,100}%)(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+)'],
      # password as a plain argument
      [['htpasswd', 'net user', 'vault login', 'sqlplus', 'jdbc:oracle', 'adduser', 'add_user', 'change_password'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:[hH][tT][pP][aA][sS\\u017f][sS\\u017f][wW][dD] +(?=(?:\\-[a-zA-Z\\u0130-\\u0131\\u017f\\u212a]+ +)*\\-[a-zA-Z\\u0130-\\u0131\\u017f\\u212a]*[bB])(?:\\-[a-zA-Z\\u0130-\\u0131\\u017f\\u212a]+ +)+(?:(?<=[nN] )|(?<=[nN][bB] )|(?<=[bB][nN] )|[[^[:space:]\\x1c-\\x1f]]+ +)[[^[:space:]\\x1c-\\x1f]]+ +|[nN][eE][tT] +[uU][sS\\u017f][eE][rR] +[[^[:space:]\\x1c-\\x1f]]+ +(?![\\/[:space:]\\x1c-\\x1f])(?=(?:[[^[:space:]\\x1c-\\x1f]]+ +\\/|[[^[:space:]\\x1c-\\x1f]]*[\\p{Nd}]))|[vV][aA][uU][lL][tT] +[lL][oO][gG][iI\\u0130-\\u0131][nN] +(?:\\-[[^[:space:]\\x1c-\\x1f]]+ +)*(?![\\-[:space:]\\x1c-\\x1f])(?=[[^[:space:]\\x1c-\\x1f]]*[\\p{Nd}\\.])|[sS\\u017f][qQ][lL][pP][lL][uU][sS\\u017f] +(?:\\-[\\p{L}\\p{N}_]+ +)*[^[:space:]\\x1c-\\x1f\\/@\\-]+\\/|[jJ][dD][bB][cC]:[oO][rR][aA][cC][lL][eE]:[\\p{L}\\p{N}_]+:[^[:space:]\\x1c-\\x1f\\/@]+\\/|(?:[aA][dD][dD]_[uU][sS\\u017f][eE][rR]|[cC][hH][aA][nN][gG][eE]_[pP][aA][sS\\u017f][sS\\u017f][wW][oO][rR][dD]) +[[^[:space:]\\x1c-\\x1f]]+ +)(?:(?:(?:[bB]|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?(<q>)(?:(?!(?<!\\\\)(?i:\\k<q>))(?m:.))+|[^[:space:]\\x1c-\\x1f;\\|\\&"\'@]+)'],
      # pass: (OpenSSL)
      [['pass:'],
       '(?<![A-Za-z])(?<kept>pass:)(?![[:space:]\\x1c-\\x1f:\'"])(?![\\p{Nd}]{1,5}(?![\\p{L}\\p{N}_\\.@\\/\\+=%\\-]))(?:(?:[^[:space:]\\x1c-\\x1f:;\\|\\&"\',\\]\\)]|[:,\\]\\)](?=[^[:space:]\\x1c-\\x1f;\\|\\&"\',\\]\\)])))+'],
      # echo of a password into a command
      [['echo ', 'printf '],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:echo|printf) +(?:\\-[\\p{L}\\p{N}_]+ +)?(?:(?:(?:b|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?(<q>)(?:(?!(?<!\\\\)\\k<q>)(?m:.))+|[^[:space:]\\x1c-\\x1f\\|"\']+)(?=["\']? *\\|[^\\|\\x0a]{0,100}(?:sudo \\-S|stdin|passwd|passphrase\\-fd))'],
      # SQL: IDENTIFIED BY, PASSWORD
      [['identified', 'phrase \'', 'phrase "', 'password \'', 'password "', 'password(', 'password (', 'password \\'],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))(?:[iI\\u0130-\\u0131][dD][eE][nN][tT][iI\\u0130-\\u0131][fF][iI\\u0130-\\u0131][eE][dD] +(?:[wW][iI\\u0130-\\u0131][tT][hH] +[[^[:space:]\\x1c-\\x1f]]+ +)?(?:[bB][yY]|[aA][sS\\u017f]) +(?:[pP][aA][sS\\u017f][sS\\u017f][wW][oO][rR][dD] +)?(?:(?:(?:[bB]|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?|[pP][aA][sS\\u017f][sS\\u017f](?:[wW][oO][rR][dD]|[pP][hH][rR][aA][sS\\u017f][eE]) *(?: |\\( *)(?<r>\\\\{0,7}["\'])))(?(<r>)(?:(?!(?<!\\\\)(?i:\\k<r>))[^\\x0a])+|(?(<q>)(?:(?!(?<!\\\\)(?i:\\k<q>))(?m:.))+|[^[:space:]\\x1c-\\x1f;,\\)"\']+))'],
      # user and password in a call
      [['auth=(', 'auth\': (', 'auth": (', 'basicauth('],
       '(?<kept>(?:(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[aA][uU][tT][hH]["\']?[=:] ?|[bB][aA][sS\\u017f][iI\\u0130-\\u0131][cC][aA][uU][tT][hH])\\( *(?:[uU][sS\\u017f][eE][rR][\\p{L}\\p{N}_]*=)?["\'][^"\'\\x0a]{0,100}["\'], *(?:[pP][aA][sS\\u017f][sS\\u017f][\\p{L}\\p{N}_]*=)?(?:(?:(?:[bB]|[\\p{L}\\p{N}_\\.]{1,40}\\())?(?<q>\\\\{0,7}["\']))?)(?(<q>)(?:(?!(?<!\\\\)(?i:\\k<q>))(?m:.))+|(?:(?:[^[:space:]\\x1c-\\x1f,:;\\&"\'\\)\\]\\}]|[:\\)\\]\\}"\'](?=[^[:space:]\\x1c-\\x1f,;\\&"\'\\)\\]\\}])))+)'],
      # Docker's auth
      [['auth"', 'auth\\'],
       '(?<kept>"[aA][uU][tT][hH]\\\\{0,7}" *: *\\\\{0,7}")(?=[\\p{L}\\p{N}_\\+\\/]{0,400}[\\p{Nd}=])[\\p{L}\\p{N}_\\+\\/]{8,}={0,2}'],
      # XML element
      [['</'],
       '(?<kept><(?<e>[\\p{L}\\p{N}_:\\.\\-]{0,40}(?:[pP][aA][sS\\u017f][sS\\u017f][wW][oO][rR][dD]|[pP][aA][sS\\u017f][sS\\u017f][wW][dD]|[sS\\u017f][eE][cC][rR][eE][tT]|[tT][oO][kK\\u212a][eE][nN]|[pP][wW][dD]|[aA][pP][iI\\u0130-\\u0131][kK\\u212a][eE][yY]|[aA][pP][iI\\u0130-\\u0131]\\-[kK\\u212a][eE][yY]))(?:[[:space:]\\x1c-\\x1f][^<>]{0,99})?>)[^<]+(?=<\\/(?i:\\k<e>))'],
      # netrc
      [['machine ', 'login '],
       '(?<kept>(?:(?<=[\\p{L}\\p{N}_])(?![\\p{L}\\p{N}_])|(?<![\\p{L}\\p{N}_])(?=[\\p{L}\\p{N}_]))[lL][oO][gG][iI\\u0130-\\u0131][nN][[:space:]\\x1c-\\x1f]+[[^[:space:]\\x1c-\\x1f]]+[[:space:]\\x1c-\\x1f]+[pP][aA][sS\\u017f][sS\\u017f][wW][oO][rR][dD][[:space:]\\x1c-\\x1f]+)(?![[:space:]\\x1c-\\x1f\'"])[[^[:space:]\\x1c-\\x1f]]+'],
    ].freeze

    # Unquoted words that can follow a name and are not secrets.
    WORDS = %w[a an and are argument attrgetter can cannot credentials denied empty error expected expired failed false field flag for format from given has header if in incorrect instead int invalid is it itemgetter key keys lambda len may missing must needs nil no none not null of on option options or prefix realm require required requires scheme should str that the this to token tokens too true type undefined unexpected unknown unset value values was were with wrong yes].freeze
  end
end
