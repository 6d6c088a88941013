#!/usr/bin/perl

# Guards what "armoriqctl lint" makes of a text: that it reads nginx.conf as
# nginx does, with includes, quotes and blocks of Lua; that it takes what
# "nginx -T" prints; that no text makes it crash, hang or say "clean" of what
# it has not read.  The rules themselves are in lint.t.

use strict;
use warnings;

use FindBin;
use POSIX ();
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


my $t = ArmorIQ->new(ports => 2);
my $d = $t->dir();

my $good = 'proxy_set_header Host $http_host; proxy_read_timeout 2m;';

# one protected location, and what stands in it

sub conf {
    my ($location, %o) = @_;

    return ($o{main} || '') . "\nhttp { upstream g { server 192.0.2.1;"
        . " armoriq_guard; " . ($o{upstream} || '') . "}\n"
        . ($o{http} || '') . "\nserver { " . ($o{server} || '') . "\n"
        . "location /l { armoriq on; armoriq_mcp m; $good\n"
        . "proxy_pass http://g;\n$location\n}\n} }\n";
}

# the answer for a text, decoded, with code and err

sub lint {
    my ($text, $name) = @_;

    return lint_file($t->write($name || 'lint.conf', $text));
}

sub lint_file {
    my ($file) = @_;
    my ($code, $out, $err) = $t->ctl('lint', '--json', $file);
    my $answer = json_value($out) || {};

    return { %$answer, code => $code, err => $err, out => $out };
}

# "rule:line" of all findings

sub found {
    my ($answer) = @_;

    return join ' ', map { "$_->{rule}:$_->{line}" }
        @{ $answer->{findings} || [] };
}

sub is_found {
    my ($text, $expected, $name) = @_;
    my $answer = lint($text);

    is(found($answer), $expected, $name) or diag($answer->{out});

    return $answer;
}


# words

is_found(conf(''), '', 'a clean one');
is_found(conf('satisfy any;'), 'satisfy-any:7', 'a fault');
is_found(conf('# satisfy any;'), '', 'in a comment');
is_found(conf("satisfy # all;\nany;"), 'satisfy-any:7', 'around a comment');
is_found(conf('"satisfy" "any";'), 'satisfy-any:7', 'in quotes');
is_found(conf("satisfy 'any';"), 'satisfy-any:7', 'in single quotes');
is_found(conf('add_header X "satisfy any;";'), '', 'inside of a quote');
is_found(conf('add_header X "\" ; satisfy any;";'), '',
         'inside of a quote, behind an escaped one');
is_found(conf("add_header X '\n}\n';\nsatisfy any;"), 'satisfy-any:10',
         'lines and braces in a quote');
is_found(conf('satisfy#any;'), '', 'a # inside of a word');
is_found(conf('set $a ${b}; satisfy any;'), 'satisfy-any:7', '${name}');
is_found(conf('set $a x${b}{;'), 'syntax:7', 'a brace that opens a block');
is_found(conf('set $a x\;y; satisfy any;'), 'satisfy-any:7',
         'an escaped semicolon');
is_found(conf("satisfy\tany\r\n;"), 'satisfy-any:7', 'tabs and CRLF');
is_found(conf('satisfy ANY;'), 'satisfy-any:7', 'in capitals');
is_found(conf('proxy_set_header Content-Length "";'), 'header-framing:7',
         'an empty word is a word');
is_found(conf('proxy_set_header "X-A" "a\"$http_authorization";'),
         'header-credential:7', 'a variable behind an escaped quote');
is_found(conf('if ($a = "}") { return 200; }'), 'return:7',
         'a brace in a condition');
is_found(conf('location ~ "^/l/a{1,2}$" { satisfy any; proxy_pass http://g;'
              . " } "), 'satisfy-any:7', 'a brace in a quoted regex');


# blocks of others

is_found(conf("rewrite_by_lua_block {\n local a = '}' -- }\n"
              . " local b = { [[ } ]], [==[ ]=] ]] x } ]==], \"\\\"}\" }\n"
              . " --[[ }\n } ]] x({ y = {} })\n}\nsatisfy any;"),
         'satisfy-any:13', 'Lua: braces in strings, comments and tables');
is_found(conf("content_by_lua_block { ngx.say('satisfy any;') }") =~
         s/proxy_pass http:\/\/g;//r, 'dynamic:7', 'Lua as content');
is_found(conf("access_by_lua_block { a = '"), 'syntax:10',
         'Lua that does not end');
is_found(conf('', http => "map \$a \$b { default 0; satisfy any;\n"
              . "'~^{' \"}\"; }\ntypes { text/html html; }"), '',
         'map{} and types{}');
is_found("mail { server { satisfy any; } }\n" . conf(''), '', 'mail{}');
is_found("anything { armoriq on; satisfy any; { } }\n", 'syntax:1',
         'a block without a name');


# what nginx inherits, and what not

is_found(conf('', http => 'satisfy any;'), 'satisfy-any:3', 'from http{}');
is_found(conf('', server => 'satisfy any;'), 'satisfy-any:4',
         'from server{}');
is_found(conf('satisfy all;', server => 'satisfy any;'), '',
         'the nearest one counts');
is_found(conf('', server => 'proxy_set_header Content-Length 5;'), '',
         'headers are inherited as a whole, or not at all');
is_found(conf('', server => 'proxy_set_header Content-Length 5;')
         =~ s/proxy_set_header Host \$http_host;//r,
         'header-framing:4 host:6', 'if there is none of them');
is_found(conf('location /l/x { return 200; }'), 'return:7',
         'proxy_pass is not inherited by a location, armoriq is');
is_found(conf('location /l/x { proxy_set_body x; }'), '',
         'so what it would send is not sent');
is_found(conf('if ($a) { proxy_set_body x; }'), 'set-body:7',
         'an if has it from its location');
is_found(conf('location /l/x { armoriq off; satisfy any; }'), 'off:7',
         'armoriq off in a location of a location');
is_found(conf('if ($a) { proxy_pass http://192.0.2.9; }'), 'unguarded:7',
         'proxy_pass of an if');
is_found(conf('if ($a) { set $b 1; } limit_except GET { deny all; }'
              . ' proxy_cache c;'), 'cache:7', 'if has nothing of its own');

{
    my $answer = is_found(conf("}\nlocation /k { armoriq on;",
                               server => 'satisfy any;'),
                          'satisfy-any:4', 'one line for two locations');

    is($answer->{findings}[0]{more}, 1, 'and how many');
    is($answer->{locations}, 2, 'locations are counted');

    my (undef, $out) = $t->ctl('lint', "$d/lint.conf");

    like($out, qr{^\Q$d\E/lint\.conf:4: error: "satisfy any" in location }m,
         'in words');
    like($out, qr{ location "/l" and 1 more: .*; write .*\[satisfy-any, B7\]$}m,
         'all of them');
    like($out, qr/1 error, 0 warnings, 0 notes; "armoriq on" in 2 locations/,
         'the last line');
}


# rules that nginx -t does not have

is_found(conf('xslt_stylesheet a.xsl;'), 'body-filter:7', 'xslt_stylesheet');
is_found(conf('image_filter rotate 90;'), 'body-filter:7', 'image_filter');
is_found(conf('image_filter off;'), '', 'image_filter off');
is_found(conf('', upstream => 'keepalive 4;'), 'keepalive:6',
         'keepalive without HTTP/1.1');
is_found(conf('proxy_http_version 1.1;', upstream => 'keepalive 4;'),
         'keepalive:6', 'keepalive with Connection: close');
is_found(conf('proxy_http_version 1.1; proxy_set_header Connection "";',
              upstream => 'keepalive 4;'), '', 'keepalive that works');
is_found(conf('', main => 'stream { server { proxy_pass 192.0.2.1; } }'),
         'stream:1', 'stream{} to a guarded server');
is_found(conf('', main => 'stream { upstream s { server 192.0.2.1; }'
              . ' server { proxy_pass s; } }'), 'stream:1',
         'stream{} with an upstream{}');
is_found(conf('', main => 'stream { server { proxy_pass 192.0.2.2; } }'),
         '', 'stream{} to another server');
is_found(conf("}\nlocation /o { js_content f;"), 'open:8',
         'a script in another location');
is_found(conf("}\nlocation /o { proxy_pass http://\$arg_a;"), 'open:8',
         'a proxy for anything in another location');


# armoriq_lint, armoriq_dry_run

for ([ 'armoriq_lint warn;', 'warning', 0 ], [ 'armoriq_lint off;', 'note', 0 ],
     [ 'armoriq_lint error;', 'error', 1 ],
     [ 'armoriq_dry_run on;', 'warning', 0 ])
{
    my ($directive, $level, $code) = @$_;
    my $answer = lint(conf("$directive satisfy any;"));

    is($answer->{findings}[0]{level}, $level, "$directive the level");
    is($answer->{code}, $code, "$directive the exit code");
}


# includes

mkdir "$d/conf.d";
$t->write('conf.d/20.conf', "\nsatisfy any;\n");
$t->write('conf.d/10.conf', "\n\nproxy_cache c;\n");
$t->write('conf.d/.hidden.conf', "ssi on;\n");
$t->write('one.inc', "include conf.d/2*.conf;\n");

my $answer;

$answer = is_found(conf('include one.inc;'), 'satisfy-any:2',
                   'relative to the main file');
is($answer->{findings}[0]{file}, "$d/conf.d/20.conf", 'and where');
is_found(conf("include $d/one.inc;"), 'satisfy-any:2', 'absolute');
is_found(conf('include conf.d/*.conf;'), 'cache:3 satisfy-any:2',
         'a pattern, in order, without hidden files');
is_found(conf('include conf.d/*.none;'), '', 'a pattern that fits nothing');

$answer = is_found(conf('include none.conf;'), 'include:7',
                   'a file that is not there');
is($answer->{code}, 1, 'and it is not clean');

is_found(conf('include /dev/zero;'), 'include:7', 'no file at all');
is_found(conf('include conf.d;'), 'include:7', 'a directory');
is_found(conf('include a b;'), 'include:7', 'two files');
is_found(conf("include \"conf.d/10.conf\0\";"), 'include:7',
         'a zero in a name');

POSIX::mkfifo("$d/fifo", 0600);
is_found(conf('include fifo;'), 'include:7', 'a pipe that nobody writes to');

open my $huge, '>', "$d/huge.conf" or die $!;
truncate $huge, 17 << 20;
close $huge;
is_found(conf('include huge.conf;'), 'include:7', 'one that is too large');

$t->write("it's.inc", "satisfy any;\n");
$t->write('a\\b.inc', "satisfy any;\n");
is_found(conf("include 'it\\'s.inc';"), 'satisfy-any:1',
         'a quote in a name');
is_found(conf('include a\\\\b.inc;'), 'satisfy-any:1',
         'a backslash in a name');

$t->write('self.inc', "include self.inc;\n");
is_found(conf('include self.inc;'), 'include:1', 'one that includes itself');

$t->write('twice.inc', "include twice.inc;\ninclude twice.inc;\n");
$answer = lint(conf('include twice.inc;'));
is($answer->{code}, 1, 'one that includes itself twice');

$t->write('open.inc', "location /x {\n");
is_found(conf('include open.inc;'), 'syntax:2', 'a block across files');


# text that nginx would not read

for ([ "http {", 'syntax:1', 'a block that does not end' ],
     [ "http { }\n}\n", 'syntax:2', 'a brace too many' ],
     [ "a b", 'syntax:1', 'a directive that does not end' ],
     [ "\n;", 'syntax:2', 'a semicolon alone' ],
     [ "{ }", 'syntax:1', 'a block without a name' ],
     [ "a \"b\n", 'syntax:2', 'a quote that does not end' ],
     [ "a \"b\"c;", 'syntax:1', 'text behind a quote' ],
     [ "a }", '', 'a brace in a word, which ends nothing', 1 ],
     [ '', '', 'nothing' ], [ "\n# x", '', 'a comment without an end' ],
     [ "\xef\xbb\xbfhttp { }", '', 'a BOM' ],
     [ "a\\", 'syntax:1', 'a backslash at the end' ],
     [ "location;\nserver;\nlocation /x;\nserver { location; }\nupstream;\n"
       . "if;\nproxy_pass;\nhttp;\nstream;\n", '', 'names without a block' ],
     [ "http { server { armoriq on; location { proxy_pass; armoriq on;"
       . "satisfy; slice; proxy_set_header; include; } } upstream { } }",
       'include:1', 'directives without arguments' ])
{
    my ($text, $expected, $name, $wrong) = @$_;

    $answer = lint($text);

    if ($wrong) {
        is($answer->{code}, 1, "$name: refused");
        next;
    }

    is(found($answer), $expected, $name) or diag($answer->{out});
    is($answer->{code}, $expected eq '' ? 0 : 1, "$name: exit code");
}

# deep, long, binary: an answer, and soon

for ([ '{' x 100000, 'braces' ], [ 'a{' x 100000, 'blocks' ],
     [ 'a ' x 500000 . ';', 'words' ], [ 'a;' x 500000, 'directives' ],
     [ 'x' x 4000000, 'a word' ], [ "a '" . 'x' x 4000000, 'a quote' ],
     [ join('', map { chr(int(rand 256)) } 1 .. 100000), 'noise' ],
     [ "\0" x 1000, 'zeros' ],
     [ "a_by_lua_block {" . '[=' x 10000, 'Lua' ],
     [ "a_by_lua_block {" . '[[' x 10000, 'Lua brackets' ])
{
    $answer = lint($_->[0]);

    like($answer->{code}, qr/^[013]$/, "many of them: $_->[1]");
}

# no prefix of a configuration makes it stumble

{
    my $text = conf("a_by_lua_block { '}' } include one.inc; x \"\\\"\" ;");
    my $bad = 0;

    for (my $i = 0; $i < length $text; $i += 3) {
        my ($code) = $t->ctl('lint', $t->write('cut.conf',
                                               substr $text, 0, $i));
        $bad++ if $code !~ /^[01]$/;
    }

    is($bad, 0, 'every beginning of a file');
}

$answer = lint_file("$d/huge.conf");
is($answer->{code}, 1, 'a file that is too large');
like($answer->{err}, qr/larger than/, 'and why');

# a terminal is not told what to do

{
    my (undef, $out) = $t->ctl('lint', $t->write('esc.conf',
        "http { server { location \"/\e[31m\n\" { armoriq on; satisfy any;"
        . ' } } }'));

    unlike($out, qr/\e/, 'no escape sequences');
    like($out, qr/\\u001b/, 'but what they are');
}


# parts of a configuration

is_found("server { location /l { armoriq on; satisfy any; } }",
         'satisfy-any:1', 'a file of conf.d');
is_found("location /l { armoriq on; satisfy any; }", 'satisfy-any:1',
         'a location alone');


# what nginx -T prints, from a real nginx

{
    $t->init_store();
    $t->write('location.inc', "armoriq_lint warn;\n\nsatisfy any;\n");

    $t->configure(<<"EOC");
%%ARMORIQ%%
upstream g { server 127.0.0.1:%%PORT1%%; armoriq_guard; }
server {
    listen 127.0.0.1:%%PORT0%%;
    location /l { armoriq on; armoriq_mcp m; proxy_pass http://g;
                  $good
                  include loc*.inc; }
}
EOC

    my @cmd = $t->command('-T');

    pipe my $r, my $w or die $!;
    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        ArmorIQ::preload();
        open STDOUT, '>&', $w;
        open STDERR, '>&', $w;
        exec { $cmd[0] } @cmd or POSIX::_exit(127);
    }

    close $w;
    my $dump = do { local $/; <$r> };
    waitpid $pid, 0;

    unlink "$d/error.log";

    like($dump, qr/^# configuration file \Q$d\E\/location\.inc:$/m,
         'nginx -T') or diag($dump);

    # without the files there is only the text

    rename "$d/location.inc", "$d/gone" or die $!;

    for ([ $dump, 'with what nginx says' ],
         [ $dump =~ s/^nginx:.*\n//gmr =~ s/^[^\n#]*\[\w+\].*\n//gmr,
           'without' ])
    {
        $answer = lint($_->[0]);

        is(found($answer), 'satisfy-any:3', "nginx -T, $_->[1]")
            or diag($answer->{out});
        is($answer->{findings}[0]{file}, "$d/location.inc", 'and the file');
        is($answer->{findings}[0]{level}, 'warning', 'and the level');
    }

    my @text = map { "# configuration file $_->[0]:\n$_->[1]\n" }
        [ '/e/nginx.conf', conf("include c/*.inc;\ninclude d.inc;") ],
        [ '/e/c/.h.inc', 'ssi on;' ], [ '/e/c/d/e.inc', 'proxy_cache c;' ],
        [ '/e/c/f.inc', "\n\nsatisfy any;" ], [ '/x/d.inc', 'slice 1;' ],
        [ '/e/d.inc', 'mirror /m;' ];

    is(found(lint(join '', @text)), 'satisfy-any:3 mirror:1',
       'patterns and names in it are those of nginx');

    is(found(lint($dump =~ s/loc\*\.inc/none.inc/r)), 'include:'
       . (1 + (() = ($dump =~ s/.*# configuration file [^\n]*nginx\.conf:\n//sr
                     =~ s/include loc\*.*//sr) =~ /\n/g)),
       'a file that is not in it');
}


# configurations that we show are clean

{
    my $top = $t->top();
    my @files = glob "$top/conf-examples/*/nginx.conf";

    ok(@files, 'there are examples');

    for my $file (@files) {
        my (undef, $name) = $file =~ m{^(.*)/(conf-examples/.*)$};

        $answer = lint_file($file);
        is(found($answer), '', "$name is clean") or diag($answer->{out});
        cmp_ok($answer->{locations}, '>', 0, "$name protects something");
    }

    open my $f, '<', "$top/README.md" or die $!;
    my ($text) = do { local $/; <$f> } =~ /^```nginx\n(.*?)^```/ms;
    my %part = ('first line' => '');
    my $name = 'first line';

    for (split /\n/, $text) {
        $name = $1, next if /^# in (\w+)/;
        $part{$name} .= "$_\n";
    }

    $part{'first line'} = 'load_module ' . $t->module() . ";\n";

    my $conf = $part{'first line'} . "events { }\n"
        . "http {\naccess_log off;\n" . $t->temp_paths() . $part{http}
        . "upstream infra { server 127.0.0.1:1;\n$part{upstream} }\n"
        . "server { listen 127.0.0.1:%%PORT0%%;\n$part{server} }\n}\n";

    $conf =~ s{/var/lib/armoriq}{$t->store()}ge;
    $t->write('nginx.conf', $t->replace($conf));

    $answer = lint_file("$d/nginx.conf");
    is(found($answer), '', 'README.md is clean') or diag($answer->{out});
    is($answer->{locations}, 2, 'README.md protects two locations');

    my ($code, $out) = $t->check_config();

    is($code, 0, 'README.md: nginx -t') or diag($out);
    unlike($out, qr/armoriq:/, 'README.md: nginx -t has nothing to say');
}


# the command line

is(($t->ctl('lint', "$d/none"))[0], 3, 'no such file');
is(($t->ctl('lint', 'a', 'b'))[0], 2, 'two files');
is(($t->ctl('lint', '-'))[0], 0, 'standard input, empty');

$t->done_testing();
