#!/usr/bin/perl

# Guards what armoriqctl says about the audit log: audit query, audit index,
# plan history, token usage.  The log is made by nginx; what is expected is
# worked out from its records here.

use strict;
use warnings;

use Digest::SHA qw/sha256/;
use FindBin;
use MIME::Base64 qw/decode_base64/;
use POSIX qw/WNOHANG/;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


# port 0: nginx; 1: nobody listens there, so such calls are never sent

my $t = ArmorIQ->new(ports => 2);

$t->init_store(mcps => [ qw/infra-mcp gone-mcp/ ]);
$t->upstream();

$t->run(<<'EOF');
%%ARMORIQ%%

upstream infra { server %%UPSTREAM%%; armoriq_guard; }
upstream gone { server 127.0.0.1:%%PORT1%%; armoriq_guard; }

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }

    location = /gone {
        armoriq on;
        armoriq_mcp gone-mcp;
        proxy_pass http://gone/mcp;
    }
}
EOF

my $plan = { goal => 'restart', steps => [
    { action => 'infra.restart', mcp => 'infra-mcp', params => {} },
    { action => 'infra.list', mcp => 'infra-mcp', params => {},
      max_uses => 3 },
    { action => 'gone.list', mcp => 'gone-mcp', params => {} },
    { action => 'infra.never', mcp => 'infra-mcp', params => {} },
] };

# the last one would like to write backwards

my $evil = "mal\x{202e}lory";

my ($alice, $bob, $idle, $mallory) = map {
    $t->request_token(plan => $plan, seconds => 600, user => $_)
} qw/alice bob carol/, $evil;

ok($_->{success}, 'token') or BAIL_OUT('no token')
    for $alice, $bob, $idle, $mallory;

call($alice, 'infra.restart', 200);
call($alice, 'infra.restart', 409);
call($alice, 'infra.list', 200);
call($alice, 'infra.list', 200);
call($alice, 'infra.unplanned', 409);
call($bob, 'infra.restart', 200);
call($bob, 'gone.list', 502, path => '/gone');
call($mallory, 'infra.unplanned', 409);

settled(8, 5);

my ($code, $out, $err);
my @all = records();
my ($jti, $jti2, $jti3) = map { jti($_) } 'alice', 'bob', $evil;


# against the records

is(scalar(@all), 8, 'a record for every call');

asked('all', sub { 1 });
asked('org', sub { $_[0]{org} eq 'example' }, '--org', 'example');
asked('user', sub { ($_[0]{user} || '') eq 'bob' }, '--user', 'bob');
asked('agent', sub { ($_[0]{agent} || '') eq 'sysadmin' },
      '--agent', 'sysadmin');
asked('mcp', sub { ($_[0]{mcp} || '') eq 'gone-mcp' }, '--mcp', 'gone-mcp');
asked('tool', sub { tool(@_) eq 'infra.list' }, '--tool', 'infra.list');
asked('tools', sub { tool(@_) =~ /^infra\..*st/ }, '--tool', 'infra.*st*');
asked('permitted', sub { $_[0]{verdict} eq 'PERMIT' }, '--verdict', 'PERMIT');
asked('denied', sub { $_[0]{verdict} eq 'DENY' }, '--verdict', 'DENY');
asked('reason', sub { $_[0]{reason} eq 'STEP_USED' },
      '--reason', 'STEP_USED');
asked('status', sub { $_[1] && $_[1]{status} eq 'executed' },
      '--status', 'executed');
asked('not sent', sub { $_[1] && $_[1]{status} eq 'not_sent' },
      '--status', 'not_sent');
asked('token', sub { ($_[0]{tok}{jti} || '') eq $jti2 }, '--jti', $jti2);
asked('plan', sub { ($_[0]{plan} || '') eq $alice->{plan_hash} },
      '--plan', uc $alice->{plan_hash});
asked('request', sub { $_[0]{rid} eq $all[2][0]{rid} },
      '--rid', $all[2][0]{rid});
asked('an hour', sub { 1 }, '--since', '1h');
asked('since', sub { $_[0]{ts} ge $all[3][0]{ts} },
      '--since', $all[3][0]{ts});
asked('until', sub { $_[0]{ts} lt $all[3][0]{ts} },
      '--until', $all[3][0]{ts});
asked('all of it', sub { ($_[0]{user} || '') eq 'alice'
                         && tool(@_) eq 'infra.unplanned' },
      '--user', 'alice', '--verdict', 'DENY', '--tool', '*.unplanned');

is((query('--until', '1h'))[0], 1, 'before that: nothing');
like($err, qr/nothing found/, 'and it says so');
is((query('--user', 'nobody', '--json'))[0], 1, 'nobody');
is(json_value($out)->{reason}, 'NOT_FOUND', 'in JSON, too');
is((query('--status', 'unknown'))[0], 1, 'no outcome is unknown');

query('--limit', 2, '--json');
is(scalar(my @two = split /\n/, $out), 2, 'no more than two');

my $offset = $all[3][0]{ts} =~ s/Z/+00:00/r;

is((query('--since', $offset))[0], 0, 'an offset');
is((query('--since', $offset =~ s/\+00/-02/r))[0], 1, 'two hours later');

for (['--verdict', 'permit'], ['--status', 'done'], ['--rid', '12'],
     ['--plan', 'x' x 64], ['--since', 'yesterday'], ['--since', '7'],
     ['--since', '2026-02-30T00:00:00Z'], ['--since', '2026-02-03'],
     ['--until', '2026-02-03T24:00:00Z'], ['--limit', '0'], ['--tool', ''],
     ['--since', '1h', '--until', '2h'], ['--reason', 'x'])
{
    is((query(@$_))[0], 2, "wrong: @$_");
}

is((query_in($t->dir() . '/none'))[0], 3, 'no log');


# for people

query();
is($code, 0, 'the table');
unlike($out, qr/\e|\xe2\x80\xae/, 'nothing paints the terminal');
like($out, qr/  mal\\u202elory  /, 'it is shown escaped');
like($out, qr/^TIME +SEQ +VERDICT/, 'it has a head');
like($out, qr/DENY +STEP_USED +example +alice +sysadmin +infra-mcp\/infra\.re/,
     'who was denied what');
like($out, qr/PERMIT +OK .* executed +\d+\.\d ms$/m, 'and what took how long');


# plan history

my $h = view('plan', 'history', '--org', 'example', $alice->{plan_hash});

is($h->{plan_hash}, $alice->{plan_hash}, 'history of the plan');
is_deeply([ map { $_->{action} } @{ $h->{steps} } ],
          [ map { $_->{action} } @{ $plan->{steps} } ], 'its steps');
is_deeply([ map { $_->{uses} } @{ $h->{steps} } ], [ 2, 2, 0, 0 ],
          'and how often they were used');
is_deeply([ map { $_->{status} } @{ $h->{steps}[2]{calls} } ], [ 'not_sent' ],
          'a call that was not sent is no use');
is_deeply([ sort map { $_->{seq} } map { @{ $_->{calls} } }
            @{ $h->{steps} }, { calls => $h->{other} } ],
          [ sort map { $_->[0]{plan} ? $_->[0]{seq} : () } @all ],
          'no call is missing');
is_deeply([ map { $_->{max_uses} } @{ $h->{steps} } ], [ 1, 3, 1, 1 ],
          'what was planned');

$h = view('plan', 'history', '--org', 'example', '--jti', $jti2);

is_deeply([ map { $_->{uses} } @{ $h->{steps} } ], [ 1, 0, 0, 0 ],
          'of one token');
is_deeply([ grep { $_->{user} ne 'bob' } map { @{ $_->{calls} } }
            @{ $h->{steps} } ], [], 'and of nobody else');

($code, $out) = ctl('plan', 'history', '--org', 'example',
                    $alice->{plan_hash});
is($code, 0, 'for people');
like($out, qr/^step 1  infra-mcp\/infra\.list  used 2 of 3\n    \S+ +\d+  PER/m,
     'a step and its calls');
unlike($out, qr/\e/, 'nothing paints the terminal');

is((ctl('plan', 'history', '--org', 'example', 'a' x 64))[0], 1,
   'no such plan');
is((ctl('plan', 'history', '--org', 'other', $alice->{plan_hash}))[0], 1,
   'a plan of another org');
is((ctl('plan', 'history', '--org', 'example'))[0], 2, 'which plan?');


# token usage

my %u = map { $_->{jti} => $_ }
    @{ view('token', 'usage', '--org', 'example')->{tokens} };

is_deeply([ sort keys %u ], [ sort $jti, $jti2, $jti3 ],
          'tokens that were used');
is_deeply([ @{ $u{$jti} }{qw/user steps_used steps_planned uses max_uses
                             permitted unknown/} ],
          [ 'alice', 2, 4, 3, 6, 3, 0 ], 'steps and calls');
is_deeply($u{$jti}{denied}, { STEP_USED => 1, STEP_NOT_PLANNED => 1 },
          'denied, and why');
is_deeply([ @{ $u{$jti2} }{qw/user steps_used uses permitted/} ],
          [ 'bob', 1, 1, 2 ], 'a call that was not sent is no use');
is($u{$jti}{first}, substr($all[0][0]{ts}, 0, 23) . 'Z', 'the first call');
is($u{$jti}{expires}, $all[0][0]{tok}{exp}, 'when it expires');
ok(!$u{$jti}{revoked}, 'not revoked');

$t->ctl_ok('token', 'revoke', '--store', $t->store(), '--org', 'example',
           $jti2);

my $one = view('token', 'usage', '--org', 'example', '--jti', $jti2);

ok(@{ $one->{tokens} } == 1 && $one->{tokens}[0]{revoked}, 'one, revoked');

($code, $out) = ctl('token', 'usage', '--org', 'example', '--jti', $jti);
like($out, qr/^\Q$jti\E  alice  sysadmin  steps 2\/4  uses 3\/6  permitted 3/,
     'for people');
like($out, qr/  denied 2 \(STEP_USED 1, STEP_NOT_PLANNED 1\)  first /,
     'and why calls were denied');

is((ctl('token', 'usage', '--org', 'example', '--jti', 'nonsense'))[0], 1,
   'no such token');
is((ctl('token', 'usage', '--org', 'other'))[0], 1, 'another org has none');

my ($payload) = $idle->{jwt_token} =~ /^[^.]+\.([^.]+)/;
my $unused = json_value(decode_base64($payload =~ tr{-_}{+/}r))->{jti};

($code, $out) = ctl('token', 'usage', '--org', 'example', '--jti', $unused);
like($out, qr/carol .* steps 0\/4 .* never used/, 'one that nobody used');


# while nginx writes

my $pid = fork;
die "fork: $!" if !defined $pid;

if ($pid == 0) {
    $t->mcp_call('infra.flood', {}, token => $alice->{jwt_token})
        for 1 .. 60;
    POSIX::_exit(0);
}

my ($bad, $seen, $shrunk, $done) = (0, 0, 0, 0);

for (1 .. 1000) {
    $done ||= waitpid($pid, WNOHANG) == $pid;

    my ($c, $o) = query('--tool', 'infra.flood', '--json');
    my @lines = $c == 0 ? split /\n/, $o : ();

    $bad++ if $c > 1 || grep { !json_value($_)->{intent} } @lines;
    $shrunk++ if @lines < $seen;
    $seen = @lines;

    last if $done && $seen >= 60;
}

is($bad, 0, 'queries while nginx writes');
is($shrunk, 0, 'see no less than the one before');
is($seen, 60, 'and everything in the end');


# many segments, with an index and without

$t->stop();

my $copy = $t->dir() . '/copy';

split_log($copy, 9);

my @segs = glob "$copy/seg-*.jsonl";

cmp_ok(scalar(@segs), '>', 7, 'a log of ' . @segs . ' segments');
is(($t->ctl('audit', 'verify', $copy))[0], 20,
   'cut by hand: verify misses the ROTATE records, a question does not');

my @questions = ([], [ '--tool', 'infra.restart' ], [ '--user', 'bob' ],
    [ '--verdict', 'PERMIT' ], [ '--jti', $jti2 ],
    [ '--status', 'executed' ], [ '--until', $all[5][0]{ts} ],
    [ '--rid', $all[0][0]{rid} ], [ '--limit', '3' ]);

my @plain = map { answer('--no-index', @$_) } @questions;

ok(!-e "$copy/index", 'no index unless it is wanted');
is_deeply([ map { answer(@$_) } @questions ], \@plain, 'it is made');

my @idx = glob "$copy/index/*.idx";

is(scalar(@idx), @segs - 1, 'for all segments but the newest');
is_deeply([ map { answer(@$_) } @questions ], \@plain, 'it is used');

unlink $idx[1];
spit($idx[2], slurp($idx[2]) =~ s/^(.{100})./$1!/sr);
spit($idx[3], '');

is_deeply([ map { answer(@$_) } @questions ], \@plain,
          'deleted, changed, empty');
is(($t->ctl('audit', 'index', $copy, '--rebuild'))[1],
   sprintf("%d segments, %d indexes made\n", @segs - 1, @segs - 1),
   'made anew');
is(json_value(($t->ctl('audit', 'index', '--json', $copy))[1])->{built}, 0,
   'there is nothing to do');

# an index that lies, and fits: that is how we know that it is asked at all

my @rid = ('--rid', $all[0][0]{rid});

is((query_in($copy, @rid))[0], 0, 'found');
lie($idx[0]);
is((query_in($copy, @rid))[0], 1, 'a segment that need not be read is not');
is((query_in($copy, @rid, '--no-index'))[0], 0, 'without the index it is');
$t->ctl('audit', 'index', $copy, '--rebuild');
is((query_in($copy, @rid))[0], 0, 'and with a new one');

# somebody else's log may hold anything

my $text = slurp($segs[0]);

spit($segs[0], $text =~ s/"agent":"sysadmin"/"agent":"\\u001b[31m\\n"/gr);

query_in($copy);
is($code, 0, 'a log with escapes');
unlike($out, qr/\e/, 'does not paint the terminal');
like($out, qr/ \\u001b\[31m\\u000a /, 'but they are shown');

spit($segs[0], $text);

# a line that is no record

spit($segs[2], slurp($segs[2]) =~ s/\n\{"v"/\n["v"/r);

query_in($copy);
is($code, 3, 'a line that is no record');
like($err, qr/1 lines .*seg-0+19\.jsonl, see armoriqctl audit verify/,
     'says where');
like($out, qr/infra\.restart/, 'after everything that was found');
is(($t->ctl('audit', 'index', $copy))[0], 3, 'and gets no index');


# who may only read

SKIP: {
    my $ro = $t->dir() . '/ro';

    split_log($ro, 9);

    chmod 0444, glob "$ro/*";
    chmod 0555, $ro;
    chmod 0711, $t->dir();

    my ($c, $o) = as($> == 0 ? 65534 : $>, 'audit', 'query', $ro,
                     '--user', 'bob', '--json');

    chmod 0700, $t->dir();

    skip 'armoriqctl cannot be run by others', 2 if $c == 127;

    is($o, $plain[2], 'a directory that is read-only');
    ok(!-e "$ro/index", 'nothing was written');

    chmod 0755, $ro;
}

$t->done_testing();


sub call {
    my ($token, $tool, $status, %o) = @_;
    my $r = $t->mcp_call($tool, {}, token => $token->{jwt_token}, %o);

    is($r->{status}, $status, "called $tool");
}

# until so many intents and outcomes are in the log: denials are written when
# they have been answered

sub settled {
    my ($intents, $outcomes) = @_;

    for (1 .. 500) {
        my %n;

        $n{$_->{t}}++ for $t->audit_records();

        return if ($n{INTENT} || 0) >= $intents
                  && ($n{OUTCOME} || 0) >= $outcomes;
        sleep 0.02;
    }

    fail('records did not come');
}

# [ intent, outcome, line, line ]

sub records {
    my @both = map { [ json_value($_), $_ ] } lines();
    my %outcome = map { $_->[0]{intent}{seq} => $_ }
        grep { $_->[0]{t} eq 'OUTCOME' } @both;

    return map { my $o = $outcome{$_->[0]{seq}};
                 [ $_->[0], $o && $o->[0], $_->[1], $o ? $o->[1] : 'null' ]
               } grep { $_->[0]{t} eq 'INTENT' } @both;
}

sub lines {
    my $text = join '', map { slurp($_) }
        sort glob $t->audit() . '/seg-*.jsonl';

    return split /\n/, $text =~ s/[^\n]*\z//r;
}

sub tool { defined $_[0]{tool} ? $_[0]{tool} : '' }

sub jti {
    my ($user) = @_;

    return (map { $_->[0]{tok}{jti} }
            grep { ($_->[0]{user} || '') eq $user && $_->[0]{tok} } @all)[0];
}

sub query_in {
    my ($dir, @args) = @_;

    return ($code, $out, $err) = $t->ctl('audit', 'query', $dir, @args);
}

sub query { query_in($t->audit(), @_) }

sub asked {
    my ($what, $match, @args) = @_;

    my @want = sort map { qq({"intent":$_->[2],"outcome":$_->[3]}) }
        grep { $match->(@$_) } @all;

    query(@args, '--json');

    ok(@want && $code == 0, "$what: " . @want) or diag($err);
    is(join("\n", sort split /\n/, $out), join("\n", @want),
       "$what: the very records");
}

sub ctl {
    my ($group, $verb, @args) = @_;

    return $t->ctl($group, $verb, '--store', $t->store(), @args);
}

sub view {
    my ($c, $o, $e) = ctl(@_, '--json');

    is($c, 0, "@_[0, 1] --json") or diag($e);

    return json_value($o) || {};
}

sub slurp {
    my ($name) = @_;

    open my $f, '<:raw', $name or die "$name: $!";
    local $/;
    return scalar <$f>;
}

sub spit {
    my ($name, $text) = @_;

    open my $f, '>:raw', $name or die "$name: $!";
    print $f $text;
    close $f or die "$name: $!";
    chmod 0600, $name;
}

sub split_log {
    my ($dir, $n) = @_;
    my @lines = lines();
    my $seq = 1;

    mkdir $dir, 0700 or die "$dir: $!";
    spit("$dir/log.json", slurp($t->audit() . '/log.json'));

    while (my @some = splice @lines, 0, $n) {
        spit(sprintf("$dir/seg-%016d.jsonl", $seq),
             join '', map { "$_\n" } @some);
        $seq += @some;
    }
}

sub answer { (query_in($copy, @_, '--json'))[1] }

# nothing is in the filter any more, and the checksum is right

sub lie {
    my ($name) = @_;
    my $text = slurp($name);
    my $front = 8 + 80 + 32;

    $text = substr($text, 0, $front) . "\0" x (length($text) - $front - 32);

    spit($name, $text . sha256($text));
}

sub as {
    my ($uid, @args) = @_;

    my $pid = open my $f, '-|';
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        if ($uid != $>) {
            ($(, $)) = ($uid, "$uid $uid");
            ($<, $>) = ($uid, $uid);
        }

        open STDERR, '>', '/dev/null';
        exec { $ENV{ARMORIQCTL} || "$FindBin::Bin/../build/armoriqctl" }
            'armoriqctl', @args or POSIX::_exit(127);
    }

    local $/;
    my $text = <$f>;
    close $f;

    return ($? >> 8, $text);
}
