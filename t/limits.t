#!/usr/bin/perl

# Guards the limits: one call too many that gets through, and one call too few
# for somebody who has not called at all.  Buckets that a second worker, a new
# token, a reload or a full zone makes new again are no limits; buckets that
# somebody else can empty are an outage.

use strict;
use warnings;

use FindBin;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


# nothing flows back within a test: the slowest rate there is, or nearly

my $slow = 'rate=1r/h';

my @keys = qw/org user agent tool mcp token/;

my $t = ArmorIQ->new(ports => 3);

my @mcps = qw/in1 in2 own two fill free refund policy/;

push @mcps, map { ("key-$_", "more-$_") } @keys, 'default', 'pair';

$t->init_store(mcps => \@mcps, policy => undef);
$t->upstream();

my @store = ('--store', $t->store());

$t->ctl_ok('org', 'add', @store, 'other');
$t->ctl_ok('mcp', 'add', @store, '--org', 'other', $_) for @mcps;

$t->add_policy({ name => 'all', allow => [ '*' ] });
$t->add_policy({ name => 'stored', priority => 9, allow => [ 'policy/stored' ],
                 rate_limit => 3 });
$t->add_policy({ name => 'token', priority => 9, allow => [ 'policy/same' ],
                 rate_limit => 4 });
$t->ctl_ok('policy', 'add', @store, '--org', 'other',
           $t->write('other.json', json_text({ name => 'all',
                                               allow => [ '*' ] })));

# two MCP locations for each key, which share the directive of their server

my $servers = '';

for my $key (@keys, 'default', 'pair') {
    my $what = $key eq 'default' ? ''
             : $key eq 'pair' ? 'key=agent+tool' : "key=$key";

    $servers .= "server { listen 127.0.0.1:%%PORT0%%; server_name $key;\n"
        . "armoriq_limit $slow burst=1 $what;\n"
        . join('', map { "location /$_ { armoriq on; armoriq_mcp $_-$key;"
                         . " proxy_pass http://g; }\n" } qw/key more/)
        . "}\n";
}

my $limits = join '', map { "armoriq_limit $slow burst=5 key=tool+user;\n" }
                          1 .. 40;

my $conf = <<"EOF";
%%ARMORIQ%%
upstream g { server %%UPSTREAM%%; armoriq_guard; }
log_format who '\$armoriq_reason \$armoriq_user \$pid';
$servers

server {
    listen 127.0.0.1:%%PORT1%% reuseport;
    add_header X-Pid \$pid always;
    armoriq on;
    armoriq_limit rate=2r/h burst=4;

    location /in1 { armoriq_mcp in1; proxy_pass http://g; }
    location /in2 { armoriq_mcp in2; proxy_pass http://g; }
    location /own { armoriq_mcp own; proxy_pass http://g;
                    armoriq_limit $slow burst=1 key=user; }
    location /two { armoriq_mcp two; proxy_pass http://g;
                    armoriq_limit $slow burst=3 key=user;
                    armoriq_limit $slow burst=1 key=user+tool; }
}

server {
    listen 127.0.0.1:%%PORT2%%;
    armoriq on;

    location /free { armoriq_mcp free; proxy_pass http://g; }
    location /refund { armoriq_mcp refund; proxy_pass http://g;
                       armoriq_limit $slow key=tool; }
    location /policy { armoriq_mcp policy; proxy_pass http://g; }
    location /fast { armoriq_mcp in1; proxy_pass http://g;
                     armoriq_limit rate=5r/s key=tool; }
    location /fill { armoriq_mcp fill; proxy_pass http://g;
                     $limits }
}
EOF

$t->run($conf, workers => 2);

rate_and_burst();
inherited();
own_list();
several();
by_key();
flows();
not_counted();
token_policy();
stored_policy();
shared();
reloaded();
full();
restarted();

my ($code, $out) = $t->audit_verify();

is($code, 0, 'the log is whole') or diag($out);

$t->done_testing();


# a token for tools of one server; every step is good for many calls

sub token {
    my ($mcp, %o) = @_;

    my $plan = {
        goal => 'limits',
        steps => [ map { { action => $_, mcp => $mcp,
                           max_uses => $o{uses} || 10000 } }
                   @{ $o{tools} || [ 'a', 'b' ] } ],
    };

    return json_value($t->ctl_ok('token', 'issue', @store,
        '--org', $o{org} || 'example', '--user', $o{user} || 'alice',
        '--agent', $o{agent} || 'agent-1', '--json', '--expires', 3600,
        '--plan', $t->write('plan.json', json_text($plan)),
        $o{policy} ? ('--policy', $t->write('rule.json',
                                            json_text($o{policy})))
                   : ()))->{jws};
}

sub call {
    my ($port, $path, $token, %o) = @_;

    return $t->mcp('tools/call', { name => $o{tool} || 'a',
                                   arguments => {} },
                   port => $port, path => $path, token => $token,
                   %o);
}

# the outcome of n calls: "200 200 429", and that many hits

sub calls {
    my ($name, $want, @call) = @_;
    my $before = $t->hit_count();
    my @want = split / /, $want;
    my @got = map { call(@call) } @want;
    my $passed = grep { $_ eq '200' } @want;

    is(join(' ', map { $_->{status} } @got), $want, $name);
    is($t->hit_count() - $before, $passed, "$name: $passed hits");

    for my $r (grep { $_->{status} == 429 } @got) {
        limited($name, $r, 'RATE_LIMITED');
        last;
    }

    return @got;
}

sub limited {
    my ($name, $r, $why) = @_;

    is($r->{why}, $why, "$name: $why");
    like($r->{headers}{'retry-after'}, qr/^[1-9]\d*$/,
         "$name: Retry-After") or diag($r->{raw});
    ok($r->{json}{error}{code} != 0 && exists $r->{json}{error}{message},
       "$name: a JSON-RPC error");
}

# until no worker is left that has the old configuration

sub reload {
    my @old = $t->workers();

    $t->reload();

    for (1 .. 200) {
        my %left = map { $_ => 1 } $t->workers();

        return if !grep { $left{$_} } @old;
        sleep 0.02;
    }
}

sub rate_and_burst {
    my $alice = token('in1');
    my $bob = token('in1', user => 'bob');

    my @got = calls('rate and burst', '200 200 200 200 200 429 429',
                    1, '/in1', $alice);

    # 2 an hour: 1800 seconds for the next one

    my $after = $got[5]{headers}{'retry-after'};

    ok($after > 1780 && $after <= 1800, "Retry-After: $after");
    is($got[5]{json}{error}{data}{retryAfterSeconds}, $after,
       'and in the body');

    calls('another user', '200 200 200 200 200 429', 1, '/in1', $bob);
    calls('a new token of the first', '429', 1, '/in1', token('in1'));

    # who is not known has no bucket, and takes nothing from others

    my $r = call(1, '/in1', undef);

    is($r->{status}, 401, 'nobody is 401, not 429');
}

sub inherited {
    my $carol1 = token('in1', user => 'carol');
    my $carol2 = token('in2', user => 'carol');

    calls('first of two locations', '200 200 200', 1, '/in1', $carol1);
    calls('they share the limit of the server', '200 200 429', 1, '/in2',
          $carol2);
}

sub own_list {
    my $user = token('own', user => 'dave');
    my $same = token('in1', user => 'dave');

    calls('a list of its own', '200 200 429', 1, '/own', $user);
    calls('and not that of the server', '200 200 200 200 200 429', 1, '/in1',
          $same);
}

sub several {
    my $token = token('two', user => 'erin');

    calls('several limits, the narrow one', '200 200 429', 1, '/two', $token);
    calls('several limits, another tool', '200', 1, '/two', $token,
          tool => 'b');

    my @got = map { call(1, '/two', $token, tool => 'b') } 1 .. 3;

    is($got[-1]{status}, 429, 'several limits, the wide one');
    limited('several limits, the wide one', $got[-1], 'RATE_LIMITED');
}

# what makes a bucket of its own, and what does not

sub by_key {
    my %own = (
        org => [ 'org' ], user => [ 'org', 'user' ],
        agent => [ 'org', 'agent' ], tool => [ 'org', 'tool' ],
        mcp => [ 'org', 'mcp' ], token => [ 'org', 'user', 'agent', 'mcp',
                                            'token' ],
        default => [ 'org', 'user' ], pair => [ 'org', 'agent', 'tool' ],
    );

    # another token is one for another user, agent or server as well

    my %change = (
        org => { org => 'other' }, user => { user => 'zoe' },
        agent => { agent => 'agent-2' }, tool => { tool => 'b' },
        mcp => { mcp => 'more' }, token => { },
    );

    for my $key (@keys, 'default', 'pair') {
        my $token = token("key-$key", user => 'key');
        my $one = sub {
            my ($jws, $path, $tool) = @_;
            my $body = json_text({ jsonrpc => '2.0', id => 1,
                method => 'tools/call',
                params => { name => $tool, arguments => {} } });

            return http_parse(http($t->port(0), $path, host => $key,
                body => $body,
                headers => "Content-Type: application/json\r\n"
                           . "Authorization: Bearer $jws\r\n"))->{status};
        };

        is(join(' ', map { $one->($token, '/key', 'a') } 1 .. 3),
           '200 200 429', "key=$key");

        for my $what (@keys) {
            my %c = %{ $change{$what} };
            my $mcp = $c{mcp} ? "more-$key" : "key-$key";
            my $jws = $what eq 'tool' ? $token
                    : token($mcp, user => $c{user} || 'key',
                            map { $c{$_} ? ($_ => $c{$_}) : () }
                                qw/org agent/);
            my $want = (grep { $_ eq $what } @{ $own{$key} }) ? 200 : 429;

            is($one->($jws, $c{mcp} ? '/more' : '/key', $c{tool} || 'a'),
               $want, "key=$key, another $what: $want");
        }
    }
}

# a bucket is emptied by time

sub flows {
    my $token = token('in1', user => 'flow', tools => [ 'f' ]);
    my @path = (2, '/fast', $token, tool => 'f');
    my $start = time();
    my ($passed, $refused, $after) = (0, 0, 0);

    while (time() - $start < 1.05) {
        my $r = call(@path);

        $r->{status} == 200 ? $passed++ : $refused++;
        $after = $r->{headers}{'retry-after'} if $r->{status} == 429;
        sleep 0.01;
    }

    ok($passed >= 5 && $passed <= 6, "5 a second: $passed");
    cmp_ok($refused, '>', 3, "and $refused were refused");
    is($after, 1, 'Retry-After is rounded up');
}

# what is refused for another reason takes nothing, and a call that is refused
# here does not use its step

sub not_counted {
    my $token = token('in1', user => 'frank');

    is(call(1, '/in1', $token, tool => 'x')->{why}, 'STEP_NOT_PLANNED',
       'not planned') for 1 .. 8;
    calls('which is not counted', '200 200 200 200 200 429', 1, '/in1',
          $token);

    my $twice = token('refund', tools => [ 'r', 's' ], uses => 2);

    calls('two uses, one call', '200 429 429 429', 2, '/refund', $twice,
          tool => 'r');

    # no limit any more: the second use is still there

    (my $open = $conf) =~ s/armoriq_limit \Q$slow\E key=tool;//;

    $t->configure($open, workers => 2);
    reload();

    my @got = map { call(2, '/refund', $twice, tool => 'r') } 1 .. 2;

    is(join(' ', map { "$_->{status} $_->{why}" } @got), '200  409 STEP_USED',
       'calls over the limit have not used the step');

    $t->configure($conf, workers => 2);
    reload();
}

# "rate_limit" of the policy that a token was issued with: calls an hour

sub token_policy {
    my @who = (user => 'grace', policy => { rate_limit => 3 });
    my $token = token('free', @who);

    my @got = calls('token policy', '200 200 200 429', 2, '/free', $token);

    ok($got[3]{headers}{'retry-after'} > 1190
       && $got[3]{headers}{'retry-after'} <= 1200, 'three an hour');
    calls('token policy: a new token is no new hour', '429', 2, '/free',
          token('free', @who));
    calls('token policy: another user', '200 200 200 429', 2, '/free',
          token('free', @who, user => 'heidi'));
    calls('token policy: a token without', '200 200 200 200', 2, '/free',
          token('free', user => 'grace'));
}

sub stored_policy {
    my $tools = [ qw/stored same plain/ ];
    my $token = token('policy', user => 'ivan', tools => $tools);
    my @stored = (2, '/policy', $token, tool => 'stored');

    calls('stored policy', '200 200 200 429', @stored);
    calls('stored policy: a call that it does not decide',
          '200 200 200 200 200', 2, '/policy', $token, tool => 'plain');
    calls('stored policy: another user', '200 200 200 429', 2, '/policy',
          token('policy', user => 'judy', tools => $tools),
          tool => 'stored');
    calls('stored policy: a new token', '429', 2, '/policy',
          token('policy', user => 'ivan', tools => $tools),
          tool => 'stored');

    # both count, each for itself, whatever the policy is called

    my @got = map { call(2, '/policy', $_, tool => 'same') }
        (token('policy', user => 'kim', tools => $tools,
               policy => { rate_limit => 4 })) x 5;

    is(join(' ', map { $_->{status} } @got), '200 200 200 200 429',
       'token policy and stored policy of the name "token"');
}

# many connections at once, to both workers

sub shared {
    my $token = token('in1', user => 'leo');
    my $before = $t->hit_count();
    my (%pids, %status);

    my $body = '{"jsonrpc":"2.0","id":1,"method":"tools/call",'
               . '"params":{"name":"a","arguments":{}}}';

    my @socks = map {
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(1))
            or die "connect: $!";
        $s;
    } 1 .. 40;

    syswrite $_, "POST /in1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
                 . "Content-Type: application/json\r\n"
                 . "Authorization: Bearer $token\r\n"
                 . 'Content-Length: ' . length($body) . "\r\n\r\n$body"
        for @socks;

    for my $s (@socks) {
        my $answer = do { local $/; <$s> };

        $status{$1}++ if $answer =~ m{^HTTP/1.1 (\d+)};
        $pids{$1}++ if $answer =~ /^X-Pid: (\d+)/m;
    }

    is(scalar(keys %pids), 2, 'two workers have answered');
    is(join(' ', map { "$_:$status{$_}" } sort keys %status), '200:5 429:35',
       'two workers, one count');
    is($t->hit_count() - $before, 5, 'two workers: 5 hits');
}

sub reloaded {
    my $token = token('own', user => 'mallory');

    calls('before a reload', '200 200 429', 1, '/own', $token);
    reload();
    calls('after a reload', '429 429', 1, '/own', $token);
    calls('after a reload, another user', '200 200 429', 1, '/own',
          token('own', user => 'nina'));
}

# 40 buckets a call: the zone is full soon, and what is in it stays

sub full {
    my @tools = map { "t$_" } 1 .. 1024;
    my $gone = token('own', user => 'olivia');
    my $half = token('own', user => 'peggy');
    my $once = token('free', user => 'peggy', uses => 1, tools => [ 'once' ]);

    calls('before the zone fills', '200 200 429', 1, '/own', $gone);
    calls('before the zone fills, a call left', '200', 1, '/own', $half);
    calls('before the zone fills, a used step', '200', 2, '/free', $once,
          tool => 'once');

    my ($passed, $refused) = (0, 0);
    my %why;

    for my $user ('fill-1', 'fill-2') {
        my %got = fill(token('fill', user => $user, tools => \@tools),
                       @tools);

        $passed += $got{''} || 0;
        $refused += $got{ZONE_FULL} || 0;
        $why{$_} += $got{$_} for keys %got;
    }

    cmp_ok($passed, '>', 300, "$passed calls got in");
    cmp_ok($refused, '>', 100, "$refused were refused");
    is(join(' ', sort keys %why), ' ZONE_FULL', 'for that reason alone');

    calls('what was limited is limited still', '429', 1, '/own', $gone);
    calls('what had a call left has it', '200 429', 1, '/own', $half);

    my $r = call(2, '/free', $once, tool => 'once');

    is("$r->{status} $r->{why}", '409 STEP_USED', 'a used step stays used');

    my $before = $t->hit_count();

    $r = call(1, '/own', token('own', user => 'quentin'));
    is("$r->{status} $r->{why}", '429 ZONE_FULL', 'nobody new gets in');
    limited('nobody new gets in', $r, 'ZONE_FULL');
    is($t->hit_count(), $before, 'nobody new gets in: no hit');
}

# calls of all tools over one connection; how many of each reason

sub fill {
    my ($token, @tools) = @_;
    my %got;

    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(2))
        or die "connect: $!";

    my $buf = '';

    for my $tool (@tools) {
        my $body = json_text({ jsonrpc => '2.0', id => 1,
            method => 'tools/call',
            params => { name => $tool, arguments => {} } });

        if (!defined syswrite $s, "POST /fill HTTP/1.1\r\nHost: a\r\n"
                 . "Content-Type: application/json\r\n"
                 . "Authorization: Bearer $token\r\n"
                 . 'Content-Length: ' . length($body) . "\r\n\r\n$body")
        {
            last;
        }

        my $length;

        while (1) {
            if ($buf =~ /^(.*?\r\n\r\n)/s) {
                my $head = $1;

                ($length) = $head =~ /^Content-Length: (\d+)/mi;
                $length += length $head;
                last if length $buf >= $length;
            }

            sysread $s, $buf, 65536, length $buf or return %got;
        }

        my $r = http_parse(substr $buf, 0, $length);

        $got{ $r->{why} }++;
        substr($buf, 0, $length, '');

        if ($r->{headers}{connection} eq 'close') {
            $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:'
                                                   . $t->port(2));
            $buf = '';
        }
    }

    return %got;
}

# documented: limits are in memory, used steps are in the log

sub restarted {
    my $token = token('own', user => 'mallory');

    $t->stop();
    $t->start();
    calls('after a restart', '200 200 429', 1, '/own', $token);
}
