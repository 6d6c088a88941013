#!/usr/bin/perl

# Guards the lint: that "nginx -t" refuses what breaks the enforcement beside
# "armoriq on", warns of what leaves a road open or breaks MCP, names the
# location and says what to write instead; that the same configuration without
# the fault passes; and that "armoriqctl lint" says the same with the line of
# the directive itself.

use strict;
use warnings;

use FindBin;
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


my $t = ArmorIQ->new(ports => 2);

$t->init_store();

my $top = $t->top();

# what a clean location has

my %parts = (
    on => 'armoriq on;',
    mcp => 'armoriq_mcp infra-mcp;',
    pass => 'proxy_pass http://g;',
    host => 'proxy_set_header Host $http_host;',
    time => 'proxy_read_timeout 2m;',
);

my @parts = qw/on mcp pass host time/;

sub config {
    my (%o) = @_;
    my %p = (%parts, %o);
    my $server = $o{server} || '';
    my $http = $o{http} || '';
    my $more = $o{more} || '';
    my $location = join "\n        ", grep { $_ ne '' }
        (map { $p{$_} } @parts), $o{location} || ();

    return <<"EOC";
%%ARMORIQ%%
proxy_cache_path %%DIR%%/cache keys_zone=c:1m;
upstream g { server 127.0.0.1:%%PORT1%%; armoriq_guard; }
upstream u { server unix:%%DIR%%/u.sock; }
$http
server {
    listen 127.0.0.1:%%PORT0%%;
    $server

    location /l {
        $location
    }

    $more
}
EOC
}

# rule, row, level, what is named, then the configuration with and without the
# fault; in => what the message says about the place, line => what stands in
# the line that armoriqctl names, if it is not the first word of what is named,
# needs => a module that not every nginx has

my @rules = (

    # what breaks the enforcement

    [ 'satisfy-any', 'B7', 'error', 'satisfy any',
      [ location => 'satisfy any;' ], [ location => 'satisfy all;' ] ],
    [ 'satisfy-any', 'B7', 'error', 'satisfy any',
      [ http => 'satisfy any;' ],
      [ http => 'satisfy any;', location => 'satisfy all;' ] ],
    [ 'satisfy-any', 'B7', 'error', 'satisfy any',
      [ location => "if (\$arg_x) { proxy_pass http://g; }\nsatisfy any;" ],
      [ location => 'if ($arg_x) { proxy_pass http://g; }' ] ],

    [ 'set-body', 'B45', 'error', 'proxy_set_body',
      [ location => 'proxy_set_body "{}";' ], [] ],
    [ 'set-body', 'B45', 'error', 'proxy_set_body',
      [ location => 'proxy_set_body "";' ], [] ],
    [ 'set-body', 'B45', 'error', 'proxy_set_body',
      [ server => 'proxy_set_body x;' ],
      [ server => 'proxy_set_body x;', on => 'armoriq off;', mcp => '' ] ],

    [ 'method', 'B45', 'error', 'proxy_method PUT',
      [ location => 'proxy_method PUT;' ], [] ],

    [ 'pass-body', 'B45', 'error', 'proxy_pass_request_body off',
      [ location => 'proxy_pass_request_body off;' ],
      [ location => 'proxy_pass_request_body on;' ] ],
    [ 'pass-body', 'B45', 'error', 'fastcgi_pass_request_body off',
      [ pass => 'fastcgi_pass g;',
        location => 'fastcgi_pass_request_body off;' ],
      [ pass => 'fastcgi_pass g;',
        location => 'proxy_pass_request_body off;' ] ],

    (map {
        [ 'header-framing', 'B45', 'error', "proxy_set_header $_",
          [ location => "proxy_set_header $_;" ],
          [ location => 'proxy_set_header X-Framing 1;' ] ]
    } 'Content-Length 5', 'content-type text/plain', 'Content-Encoding gzip',
      'Transfer-Encoding chunked', 'TE trailers'),

    [ 'header-framing', 'B45', 'error', 'grpc_set_header Content-Length 3',
      [ pass => 'grpc_pass grpc://g;',
        location => 'grpc_set_header Content-Length 3;' ],
      [ pass => 'grpc_pass grpc://g;',
        location => 'grpc_set_header X-Framing 1;' ] ],

    [ 'header-method', 'B42', 'error',
      'proxy_set_header X-HTTP-Method-Override PUT',
      [ location => 'proxy_set_header X-HTTP-Method-Override PUT;' ],
      [ location => 'proxy_set_header X-HTTP-Method-Override "";' ] ],

    (map {
        [ 'header-credential', 'B50', 'error', "proxy_set_header $_",
          [ location => "proxy_set_header $_;" ],
          [ location => 'proxy_set_header Authorization "Bearer own";'
                        . 'proxy_set_header X-ArmorIQ-Org $armoriq_org;' ] ]
    } 'Authorization $http_authorization', 'X-Key $http_x_api_key',
      'X-Copy a${http_x_armoriq_intent}b', 'X-ArmorIQ-Org $http_x_org',
      'x-armoriq-user $arg_user'),

    [ 'cache', 'B46', 'error', 'proxy_cache',
      [ location => 'proxy_cache c;' ], [ location => 'proxy_cache off;' ] ],
    [ 'cache', 'B46', 'error', 'proxy_cache',
      [ http => 'proxy_cache c;' ],
      [ http => 'proxy_cache c;', location => 'proxy_cache off;' ] ],
    [ 'cache', 'B46', 'error', 'proxy_cache',
      [ location => "if (\$arg_x) { proxy_pass http://g; }\n"
                    . "location /l/n { proxy_pass http://g; proxy_cache c; }" ],
      [ location => "location /l/n { proxy_pass http://g; }" ],
      in => 'location "/l/n"' ],

    [ 'store', 'B46', 'error', 'proxy_store',
      [ location => 'proxy_store on;' ], [ location => 'proxy_store off;' ] ],

    [ 'slice', 'B6', 'error', 'slice 1',
      [ location => 'slice 1m;' ], [ location => 'slice 0;' ],
      needs => 'slice' ],

    [ 'next-upstream', 'B56', 'error', 'proxy_next_upstream non_idempotent',
      [ location => 'proxy_next_upstream error non_idempotent;' ],
      [ location => 'proxy_next_upstream error;' ] ],

    [ 'mirror', 'B5', 'error', 'mirror',
      [ location => 'mirror /m;' ], [ location => 'mirror off;' ] ],
    [ 'mirror', 'B5', 'error', 'mirror',
      [ http => 'mirror /m;' ],
      [ http => 'mirror /m;', location => 'mirror off;' ] ],

    [ 'post-action', 'B16', 'error', 'post_action /p',
      [ location => 'post_action /p;' ], [] ],

    # what leaves a road open

    [ 'unguarded', 'B17', 'warning', 'proxy_pass u',
      [ pass => 'proxy_pass http://u;' ], [] ],
    [ 'unguarded', 'B17', 'warning', 'proxy_pass 127.0.0.1',
      [ pass => 'proxy_pass http://127.0.0.1:%%PORT0%%;' ], [] ],

    [ 'bypass', 'B17', 'warning', 'proxy_pass u',
      [ pass => 'proxy_pass http://u;',
        more => 'location /o { proxy_pass http://u; }' ],
      [ more => 'location /o { proxy_pass http://g; }' ],
      in => 'location "/o"' ],

    [ 'dynamic', 'B21', 'warning', 'proxy_pass',
      [ pass => 'set $g g; proxy_pass http://$g;' ], [] ],

    [ 'open', 'B64', 'warning', 'proxy_pass u',
      [ more => 'location /o { proxy_pass http://u; }' ],
      [ more => 'location /o { armoriq off; proxy_pass http://u; }' ],
      in => 'location "/o"' ],

    [ 'off', 'B64', 'note', 'armoriq off',
      [ server => 'armoriq on;', more => 'location /o { armoriq off; }' ],
      [ server => 'armoriq on;', more => 'location /o { }' ],
      in => 'location "/o"' ],
    [ 'off', 'B64', 'note', 'armoriq off',
      [ http => 'armoriq on;', server => 'armoriq off;' ],
      [ http => 'armoriq on;' ], in => 'server{}' ],
    [ 'off', 'B64', 'note', 'armoriq off',
      [ http => 'armoriq on;', server => 'armoriq off;', on => '',
        mcp => '' ],
      [ http => 'armoriq on;', on => '', mcp => '' ], in => 'server{}' ],

    [ 'mcp-off', 'B64', 'warning', 'armoriq_mcp',
      [ more => 'location /o { armoriq_mcp other; proxy_pass http://g; }' ],
      [ more => 'location /o { proxy_pass http://g; }' ],
      in => 'location "/o"' ],
    [ 'invoke-off', 'B64', 'warning', 'armoriq_invoke on',
      [ more => 'location /o { armoriq_invoke on; }' ],
      [ more => 'location /o { armoriq_invoke on; armoriq on; }' ],
      in => 'location "/o"' ],

    [ 'method-identity', 'B36', 'warning',
      'armoriq_method tools/call identity',
      [ location => 'armoriq_method tools/call identity;' ],
      [ location => 'armoriq_method tools/call intent;' ] ],

    [ 'return', '', 'warning', 'return',
      [ location => 'if ($arg_x) { return 200; }' ],
      [ location => 'if ($arg_x) { rewrite ^ /l break; }' ] ],

    # what changes requests and answers

    [ 'ssi', 'B1', 'warning', 'ssi on',
      [ location => 'ssi on;' ], [ location => 'ssi off;' ] ],
    [ 'addition', 'B3', 'warning', 'add_after_body /x',
      [ location => 'add_after_body /x;' ],
      [ location => 'add_after_body "";' ], needs => 'addition' ],
    [ 'body-filter', '', 'warning', 'sub_filter',
      [ location => 'sub_filter a b;' ], [], needs => 'sub' ],
    [ 'upgrade', 'B43', 'warning', 'proxy_set_header Upgrade $http_upgrade',
      [ location => 'proxy_set_header Upgrade $http_upgrade;' ],
      [ location => 'proxy_set_header Upgrade "";' ] ],
    [ 'underscores', 'B49', 'warning', 'underscores_in_headers on',
      [ http => 'underscores_in_headers on;' ],
      [ http => 'underscores_in_headers off;' ], in => 'server{}' ],
    [ 'invalid-headers', 'B49', 'warning', 'ignore_invalid_headers off',
      [ server => 'ignore_invalid_headers off;' ],
      [ server => 'ignore_invalid_headers on;' ], in => 'server{}' ],
    [ 'merge-slashes', 'B20', 'warning', 'merge_slashes off',
      [ server => 'merge_slashes off;' ],
      [ server => 'merge_slashes off;', on => 'armoriq off;', mcp => '' ],
      in => 'server{}' ],
    [ 'early-data', 'B54', 'warning', 'ssl_early_data on',
      [ server => 'ssl_early_data on;' ],
      [ server => 'ssl_early_data off;' ], in => 'server{}',
      needs => 'ssl' ],

    # what breaks MCP

    [ 'host', '', 'warning', 'proxy_set_header Host $proxy_host',
      [ host => '' ], [], line => 'proxy_pass' ],
    [ 'host', '', 'warning', 'proxy_set_header Host $proxy_host',
      [ http => 'proxy_set_header Host $host;',
        host => 'proxy_set_header X-Other 1;' ],
      [ http => 'proxy_set_header Host $host;', host => '' ],
      line => 'proxy_pass' ],
    [ 'read-timeout', '', 'warning', 'proxy_read_timeout 60s',
      [ time => '' ], [], line => 'proxy_pass' ],
    [ 'read-timeout', '', 'warning', 'proxy_read_timeout 1500ms',
      [ time => 'proxy_read_timeout 1500ms;' ], [ mcp => '', time => '' ] ],
    [ 'pass-headers', '', 'warning', 'proxy_pass_request_headers off',
      [ location => 'proxy_pass_request_headers off;' ],
      [ location => 'proxy_pass_request_headers on;' ] ],
);


# "nginx -t"

my $nginx = $ENV{TEST_NGINX_BINARY} || '/usr/sbin/nginx';
my $built = `"$nginx" -V 2>&1`;

my %nginx = (error => 'emerg', warning => 'warn', note => 'notice');

for my $row (@rules) {
    my ($rule, $number, $level, $what, $bad, $good, %o) = @$row;
    my $name = $number ? "$number $rule" : $rule;
    my $in = $o{in} || 'location "/l"';
    my $tag = $number ? "[$rule, $number]" : "[$rule]";

    if ($o{needs} && $built !~ /--with-http_$o{needs}_module(?!=)/) {
        diag("skipped, not in this nginx: $rule");
        next;
    }

    my ($code, $out) = nginx(config(@$bad));
    my @lines = grep { index($_, $tag) >= 0 } split /\n/, $out;
    my ($line) = grep { /\[$nginx{$level}\]/ } @lines;

    is($code, $level eq 'error' ? 1 : 0, "nginx -t: $name, $what")
        or diag($out);
    like($line || '', qr/armoriq: "\Q$what\E[^"]*" in \Q$in\E .*; write \S/,
         "nginx -t: $name is told of") or diag($out);
    like($line || '', qr/nginx\.conf:\d+/, "nginx -t: $name, where");

    ctl_finds($row, "armoriqctl: $name, $what");

    my %nginx_says = map { $_ => 1 } $out =~ /armoriq: .* \[([a-z-]+)/g;
    my %ctl_says = map { $_->{rule} => 1 } @{ lint()->{findings} };

    is_deeply([ sort keys %ctl_says ], [ sort keys %nginx_says ],
              "armoriqctl: $name, $what: the same rules as nginx -t");

    ($code, $out) = nginx(config(@$good));

    is($code, 0, "nginx -t: without $rule") or diag($out);
    is(index($out, "[$rule"), -1, "nginx -t: without $rule, no word of it")
        or diag($out);

    my $answer = lint();

    is_deeply([ grep { $_->{rule} eq $rule } @{ $answer->{findings} } ], [],
              "armoriqctl: without $rule, no word of it");

    next if $level ne 'error';

    ($code, $out) = nginx(config(@$bad) =~ s/^/armoriq_lint warn;\n/r);

    is($code, 0, "nginx -t: $name with armoriq_lint warn") or diag($out);
    like($out, qr/\[warn\].*\Q$tag\E/, "nginx -t: $name is warned of");
}

# what "armoriqctl lint" says of the configuration as it is

sub lint {
    my ($code, $out) = $t->ctl('lint', '--json',
                               @_ ? @_ : $t->dir() . '/nginx.conf');
    my $answer = json_value($out) || {};

    $answer->{code} = $code;

    return $answer;
}

sub ctl_finds {
    my ($row, $name) = @_;
    my ($rule, $number, $level, $what, undef, undef, %o) = @$row;
    my $answer = lint();
    my @lines = split /\n/, $t->read('nginx.conf');
    my $in = $o{in} || 'location "/l"';

    # nginx says where it leads, armoriqctl says what stands there

    $what =~ s{^proxy_pass (?=\w)}{proxy_pass http://};

    my ($f) = grep { $_->{rule} eq $rule && $_->{level} eq $level
                     && index($_->{what}, $what) == 0
                     && index($_->{place}, $in) >= 0 }
        @{ $answer->{findings} };

    ok($f, "$name is found") or diag(json_text($answer));
    $f ||= {};

    my ($word) = $o{line} || $what =~ /^(\S+)/;
    my $text = $lines[($f->{line} || 1) - 1];

    like($text, qr/(?:^|[\s;])\Q$word\E[\s;]/, "$name: the line");
    is($f->{row}, $number, "$name: the row");
    is($f->{file}, $t->dir() . '/nginx.conf', "$name: the file");
    like($f->{write} || '', qr/\S/, "$name: what to write");
    is($answer->{code}, $level eq 'error' ? 1 : 0, "$name: exit code")
        or diag(json_text($answer));
}

sub nginx {
    my ($conf) = @_;

    delete $t->{expected};
    $t->configure($conf);

    my ($code, $out) = $t->check_config();

    # notices go to the log only

    return ($code, $out . join '', grep { /\[notice\]/ }
                                   map { "$_\n" } split /\n/, $t->{expected});
}


# armoriq_lint, armoriq_dry_run

{
    my @bad = (location => 'satisfy any;');
    my ($code, $out);

    ($code, $out) = nginx(config(@bad, server => 'armoriq_lint off;'));
    is($code, 0, 'armoriq_lint off') or diag($out);
    unlike($out, qr/armoriq: /, 'armoriq_lint off: not a word');

    ($code, $out) = nginx(config(server => 'armoriq_lint off;',
        location => 'satisfy any; armoriq_lint error;'));
    is($code, 1, 'armoriq_lint error again in a location') or diag($out);

    ($code, $out) = nginx(config(server => 'armoriq_lint none;'));
    is($code, 1, 'armoriq_lint none') or diag($out);

    ($code, $out) = nginx(config(@bad, server => 'armoriq_dry_run on;'));
    is($code, 0, 'armoriq_dry_run: nothing is enforced') or diag($out);
    like($out, qr/\[warn\].*\[satisfy-any, B7\]/,
         'armoriq_dry_run: a warning instead');

    ($code, $out) = nginx(config(@bad, location => 'satisfy any;'
        . 'limit_except GET { deny all; } if ($arg_x) { set $a 1; }'));
    is(scalar(() = $out =~ /satisfy-any/g), 1,
       'limit_except and if repeat nothing') or diag($out);

    ($code, $out) = nginx(config(location =>
        'if ($arg_x) { proxy_pass http://g; }'
        . 'limit_except GET { proxy_pass http://u; }'));
    is($code, 0, 'if and limit_except') or diag($out);
    like($out, qr/"proxy_pass u" in "limit_except" in location "\/l"/,
         'what only limit_except has');

    ($code, $out) = nginx(config(pass => 'root %%DIR%%;',
        http => 'proxy_cache c; proxy_set_body x;'));
    is($code, 0, 'what nothing is sent by matters not') or diag($out);
    unlike($out, qr/armoriq: /, 'and is not spoken of');
    is(lint()->{errors}, 0, 'not by armoriqctl either');

    ($code, $out) = nginx(config(on => '', mcp => '',
        location => 'satisfy any; proxy_set_body x; mirror /m;'));
    is($code, 0, 'no armoriq on, no lint') or diag($out);
    unlike($out, qr/armoriq: /, 'no armoriq on, not a word');
}

$t->done_testing();
