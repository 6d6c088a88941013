#!/usr/bin/perl

# Guards how calls are settled whose outcome nobody knows: a worker is killed
# while they are under way, verify counts them, somebody says what became of
# them, and the log shows who did, and how it is known.

use strict;
use warnings;

use Digest::SHA qw/sha256_hex/;
use FindBin;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


my $json = "Content-Type: application/json\r\n"
    . "Accept: application/json, text/event-stream\r\n";

my $t = ArmorIQ->new();

$t->init_store(mcps => [ qw/infra-mcp hole-mcp/ ]);
$t->upstream();
$t->allow_alerts(qr/exited on signal 9/);

# a server that takes calls and never answers

my $hole = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 16)
    or die "listen: $!";
my $at = '127.0.0.1:' . $hole->sockport;

$t->run(<<"EOF");
%%ARMORIQ%%

upstream infra { server %%UPSTREAM%%; armoriq_guard; }
upstream hole { server $at; armoriq_guard; }

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }

    location = /hole {
        armoriq on;
        armoriq_mcp hole-mcp;
        proxy_pass http://hole/mcp;
    }
}
EOF

my $issued = $t->request_token(seconds => 600, plan => {
    goal => 'restart', steps => [
        map { { action => "infra.$_", params => {},
                mcp => $_ eq 'list' ? 'infra-mcp' : 'hole-mcp' } }
            qw/list restart scale stop/
    ] });

ok($issued->{success}, 'token') or BAIL_OUT('no token');

my $token = $issued->{jwt_token};
my ($code, $out, $err);

is(call('infra.list')->{status}, 200, 'a call');
is(call('infra.kill')->{why}, 'STEP_NOT_PLANNED', 'a refusal');

# three are with the server when the worker dies

my @socks = map { begin($_) } qw/infra.restart infra.scale infra.stop/;
my $sel = IO::Select->new($hole);

my @taken = map { $sel->can_read(5) ? scalar $hole->accept : () } @socks;

is(scalar @taken, 3, 'three calls have left');
sysread $_, my $byte, 1 for @taken;

my ($old) = $t->workers();

kill 'KILL', $old;
close $_ for @taken;
wait_for(sub { grep { $_ != $old } $t->workers() });
wait_for(sub { $t->audit_records('OUTCOME') == 1 });

my %seq = map { $_->{tool} => $_->{seq} } $t->audit_records('INTENT');

is(verify()->{unknown}, 3, 'verify: three are unknown');
is($code, 10, 'exit code 10');
is_deeply([ unknown() ], [ sort { $a <=> $b }
                           @seq{qw/infra.restart infra.scale infra.stop/} ],
          'query finds them');

# who may not be settled

for ([ 'infra.list', qr/has an outcome/ ],
     [ 'infra.kill', qr/was not let through/ ])
{
    my ($tool, $why) = @$_;

    is(resolve($seq{$tool}, 'executed', 'x'), 1, "not $tool");
    like($err, $why, 'as it says');
}

is(resolve(4711, 'executed', 'x'), 1, 'not what there is not');
like($err, qr/no record 4711/, 'as it says');
is(resolve(0, 'executed', 'x'), 2, 'no number');
is(resolve($seq{'infra.stop'}, 'unknown', 'x'), 2, 'another status');
is(resolve($seq{'infra.stop'}, 'executed', ''), 2, 'no note');
is(resolve($seq{'infra.stop'}, 'executed', 'x' x 513), 2, 'a long note');
is(resolve($seq{'infra.stop'}, 'executed', $token), 2, 'a token');
is(verify()->{unknown}, 3, 'nothing was written');

# while nginx serves

is(resolve($seq{'infra.restart'}, 'executed', "ticket 1:\n\"seen\""), 0,
   'the first one was executed') or diag($err);
like($out, qr/^call $seq{'infra.restart'} is resolved as executed, by record/,
     'it says so');
is(resolve($seq{'infra.restart'}, 'not_sent', 'x'), 1, 'not again');
like($err, qr/was resolved before/, 'as it says');
is(resolve($seq{'infra.scale'}, 'not_sent', 'never came', '--json'), 0,
   'the second one was not sent');

my $said = json_value($out);
my @records = $t->audit_records('RESOLVE');

is_deeply([ map { $_->{status} } @records ], [ qw/executed not_sent/ ],
          'two records');
is($said->{seq}, $records[1]{seq}, 'its number');
is($said->{leaf}, leaf($records[1]{seq}), 'and its leaf');

my ($r) = @records;
my ($i) = grep { $_->{seq} == $seq{'infra.restart'} } $t->audit_records();

is_deeply($r->{intent}, { seq => $i->{seq}, h => leaf($i->{seq}) },
          'of that INTENT');
is($r->{rid}, $i->{rid}, 'by its id');
is($r->{note}, "ticket 1:\n\"seen\"", 'the note');
is($r->{uid}, $<, 'who it was');
is($r->{by}, scalar getpwuid($<), 'by name');

my $v = verify();

is_deeply([ $code, @$v{qw/unknown resolved warnings/} ], [ 10, 1, 2, 0 ],
          'verify: one is left');
is_deeply([ unknown() ], [ $seq{'infra.stop'} ], 'query as well');

($code, $out) = $t->ctl(qw/audit query --json --status not_sent/,
                        $t->audit());
is_deeply([ map { $_->{resolve}{seq}, $_->{outcome} }
            map { json_value($_) } split /\n/, $out ],
          [ $said->{seq}, undef ], 'with what was said');

($code, $out) = $t->ctl(qw/audit query --status not_sent/, $t->audit());
like($out, qr/not_sent .* resolved$/m, 'for people, too');

($code, $out) = $t->ctl(qw/token usage --org example --json/,
                        '--store', $t->store());
is(json_value($out)->{tokens}[0]{uses}, 3, 'token usage: that one is free');

# a running nginx does not take steps back

is(why('infra.scale'), 'STEP_USED', 'as long as nginx runs it is not');

is(resolve($seq{'infra.stop'}, 'executed', 'ticket 2'), 0, 'the last');
is(verify()->{unknown}, 0, 'none is unknown');
is($code, 0, 'exit code 0');
is((unknown())[0], undef, 'nor found');

($code, $out) = $t->ctl(qw/audit tail -n 5/, $t->audit());
like($out, qr/ RESOLVE  executed  .*  note=ticket 2  /, 'tail shows the note');

$t->stop();
$t->start();

is(why('infra.restart'), 'STEP_USED', 'executed: stays used');

my $s = begin('infra.scale');

ok($sel->can_read(5), 'not sent: it can be used now');

my $taken = $hole->accept;

# from then on it was sent

sysread $taken, my $buf, 1;
close $taken;
is(why('infra.scale'), 'STEP_USED', 'once');
close $s;

$t->stop();

$v = verify();
is_deeply([ $code, @$v{qw/unknown resolved warnings/} ], [ 0, 0, 3, 0 ],
          'verify: all is known');

$t->done_testing();


sub call {
    my ($tool) = @_;

    return $t->mcp_call($tool, {}, token => $token);
}

# of a call to that server that is refused

sub why {
    my ($tool) = @_;

    return $t->mcp_call($tool, {}, token => $token, path => '/hole')->{why};
}

sub begin {
    my ($tool) = @_;

    my $body = json_text({ jsonrpc => '2.0', id => 1, method => 'tools/call',
                           params => { name => $tool, arguments => {} } });
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(0))
        or die "connect: $!";

    syswrite $s, "POST /hole HTTP/1.1\r\nHost: x\r\n$json"
        . "Authorization: Bearer $token\r\n"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

    return $s;
}

sub wait_for {
    my ($what) = @_;

    for (1 .. 250) {
        return if $what->();
        sleep 0.02;
    }
}

sub verify {
    ($code, $out) = $t->audit_verify('--json');

    return json_value($out);
}

# numbers of INTENTs

sub unknown {
    ($code, $out) = $t->ctl(qw/audit query --json --status unknown/,
                            $t->audit());

    return map { json_value($_)->{intent}{seq} } grep { /"intent"/ }
           split /\n/, $out;
}

# the exit code

sub resolve {
    my ($seq, $status, $note, @more) = @_;

    ($code, $out, $err) = $t->ctl(qw/audit resolve/, $t->audit(), '--seq',
        $seq, '--status', $status, '--note', $note, @more);

    return $code;
}

# by hand

sub leaf {
    my ($seq) = @_;
    my ($line) = grep { /^\{"v":1,"seq":$seq,/ } map {
        open my $f, '<:raw', $_ or die "$_: $!";
        <$f>;
    } glob $t->audit() . '/seg-*.jsonl';

    chomp $line;

    return sha256_hex("\0$line");
}
