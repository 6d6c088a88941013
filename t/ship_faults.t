#!/usr/bin/perl

# Guards "armoriqctl audit ship" when things go wrong: collectors that are
# gone, slow, full or refuse records; a shipper that is killed; a log that
# grows, is rotated, torn, cut, changed or another one.  Every record must
# arrive, in order, and nothing behind a break of the chain.

use strict;
use warnings;

use FindBin;
use Fcntl qw/:flock/;
use JSON::PP ();
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ::Ship;

*wait_for = \&ArmorIQ::Ship::wait_for;

my $json = JSON::PP->new->utf8->allow_nonref;

# seconds in which something that is bound to happen has happened

my $long = 20;

following();
dead_and_alive();
later();
poison();
larger();
refuses_all();
configuration();
stars();
login();
partial();
killed();
lost();
hanging();
tampered();
another_log();
alone();

done_testing();


# a sink that takes lines, and its log

sub webhook {
    my ($name, %o) = @_;

    my $l = ArmorIQ::Ship->new();
    my $http = $l->http_sink($name, %o);

    my $sink = { name => $name, type => 'webhook', url => $http->url('/in'),
                 batch_records => $o{records} || 10, backoff_max => 1,
                 timeout => 2 };

    return ($l, $http, $sink);
}

# numbers of the records in requests that were answered with 200

sub arrived {
    my ($http) = @_;

    return map { $_->{seq} }
        map { map { $json->decode($_) } split /\n/, $_->{body} }
        $http->accepted();
}

# every one, in order, if those that came again are dropped

sub all_arrived {
    my ($name, $n, @seq) = @_;
    my ($next, @odd) = (1);

    for (@seq) {
        if ($_ == $next) {
            $next++;

        } elsif ($_ > $next) {
            push @odd, $_;
        }
    }

    is($next - 1, $n, "$name: all arrive");
    is_deeply(\@odd, [], "$name: none before its turn");
}

sub metric {
    my ($l, $name, $sink) = @_;

    my ($v) = ArmorIQ::Ship::slurp($l->dir() . '/prom')
        =~ /^armoriq_ship_$name\{sink="$sink"\} (\S+)$/m;

    return defined $v ? $v : -1;
}


# segments that grow, new ones, torn ones; and nobody waits for a lock

sub following {
    my ($l, $http, $sink) = webhook('follow');

    $l->append(3);

    open my $lock, '+>>', "$l->{log}/lock" or die;
    flock $lock, LOCK_EX or die;

    $l->start([ $sink ]);

    ok(wait_for(sub { arrived($http) == 3 }, $long),
       'following: somebody who appends is not waited for');

    $l->append(2);
    ok(wait_for(sub { arrived($http) == 5 }, $long), 'following: more lines');

    $l->rotate()->append(2)->rotate()->append(30)->rotate()->append(1);
    ok(wait_for(sub { arrived($http) == 38 }, $long),
       'following: several segments');

    # half a line is not a record, until the rest is there

    my $line = $l->make('INTENT', '"verdict":"DENY","rid":"' . 'a' x 32 . '"')
        . "\n";
    $l->put(substr $line, 0, 90);
    sleep 0.6;
    is(scalar(() = arrived($http)), 38, 'following: half a line waits');
    $l->put(substr $line, 90);
    $l->remember(substr $line, 0, -1);
    ok(wait_for(sub { arrived($http) == 39 }, $long),
       'following: and goes when it is whole');

    $l->tear('{"v":1,"seq":40,"prev":"torn')->recover()->append(4);
    ok(wait_for(sub { arrived($http) == 44 }, $long),
       'following: behind a torn segment');

    # a segment that was read may be moved away

    unlink $l->segment(1);
    $l->append(1);
    ok(wait_for(sub { arrived($http) == 45 }, $long),
       'following: an old segment is gone');

    my ($code, $said) = $l->stop();

    is($code, 0, 'following: ends when it is told');
    is($said, '', 'following: without a word');
    is_deeply([ arrived($http) ], [ 1 .. 45 ], 'following: none twice');
    is($l->cursor('follow')->{seq}, 45, 'following: the cursor is written');

    # from where it was, although the first segments are gone

    $l->append(2)->rotate()->append(2);
    ($code) = $l->ship([ $sink ], '--once');
    is($code, 0, 'following: once more');
    is_deeply([ arrived($http) ], [ 1 .. 49 ], 'following: where it was');

    # all that the cursor speaks of is gone, and the log goes on behind it

    my $segment = $l->segment();
    $l->rotate()->append(3);
    unlink $segment;
    ($code) = $l->ship([ $sink ], '--once');
    is($code, 0, 'following: a segment that was read is not needed');
    is_deeply([ arrived($http) ], [ 1 .. 52 ], 'following: and the chain is');
}


sub dead_and_alive {
    my ($l, $http, $sink) = webhook('alive');
    my ($port) = ArmorIQ::free_ports(1);

    my @sinks = ($sink, { %$sink, name => 'dead',
                          url => "http://127.0.0.1:$port/" },
                 { name => 'deadlog', type => 'syslog', backoff_max => 1,
                   url => "tcp://127.0.0.1:$port" });

    $l->append(25);
    $l->start(\@sinks, '--metrics', $l->dir() . '/prom');

    ok(wait_for(sub { arrived($http) == 25 }, $long),
       'dead sink: the other one gets all');
    ok(wait_for(sub { metric($l, 'failed_total', 'dead') > 1
                      && metric($l, 'failed_total', 'deadlog') > 1 }, $long),
       'dead sink: tried again');

    is(metric($l, 'lag_records', 'dead'), 25, 'dead sink: lag');
    cmp_ok(metric($l, 'lag_seconds', 'dead'), '>', 5, 'dead sink: in seconds');
    is(metric($l, 'up', 'dead'), 0, 'dead sink: down');
    is(metric($l, 'up', 'alive'), 1, 'dead sink: up is the other one');
    is(metric($l, 'lag_records', 'alive'), 0, 'dead sink: without lag');

    $l->append(5);
    ok(wait_for(sub { arrived($http) == 30 }, $long),
       'dead sink: which follows on');

    my $dead = $l->http_sink('dead', port => $port);

    ok(wait_for(sub { arrived($dead) == 30 }, $long),
       'dead sink: gets all when it comes');
    ok(wait_for(sub { metric($l, 'up', 'dead') == 1
                      && metric($l, 'lag_records', 'dead') == 0 }, $long),
       'dead sink: and is up');

    my ($code, $said) = $l->stop();
    is($code, 0, 'dead sink: ends in peace');
    like($said, qr/"dead": cannot deliver: .*; trying again in /,
         'dead sink: said so');
    like($said, qr/"dead": delivers again/, 'dead sink: and its return');
}


# what passes by itself

sub later {
    my ($l, $http, $sink) = webhook('later');

    $l->append(5);
    $http->tell('500');
    $l->start([ $sink ]);

    ok(wait_for(sub { (my @r = $http->requests()) > 1 }, $long),
       '500: tried again');

    $http->tell('429 2');
    my $n = () = $http->requests();
    ok(wait_for(sub { grep { $_->{status} == 429 } $http->requests() },
                $long), '429: told to wait');
    my ($then) = grep { $_->{status} == 429 } $http->requests();

    $http->tell('close');
    ok(wait_for(sub { grep { $_->{told} eq 'close' } $http->requests() },
                $long), '429: tried again');
    my ($next) = grep { $_->{time} > $then->{time} } $http->requests();
    cmp_ok($next->{time} - $then->{time}, '>=', 1.9,
           '429: not before Retry-After');

    $http->tell('hang');
    ok(wait_for(sub { (grep { $_->{told} eq 'hang' } $http->requests())
                      && $l->said() =~ /[Tt]ime/ }, $long),
       'hang: given up in time');

    $http->tell('ok');
    ok(wait_for(sub { arrived($http) == 5 }, $long), 'all that: passes');

    my ($code, $said) = $l->stop();
    is($code, 0, 'all that: ends in peace');
    like($said, qr/HTTP 500/, 'all that: 500 was said');
    is(scalar(() = $l->dead('later')), 0, 'all that: nothing is put aside');

    # a cron job must come to an end

    $http->tell('503');
    $l->append(1);
    ($code, $said) = $l->ship([ $sink ], '--once');
    is($code, 1, 'once: ends with 1');
    like($said, qr/not delivered: HTTP 503/, 'once: and says so');
}


# one record that nobody wants

sub poison {
    my ($l, $http, $sink) = webhook('poison', records => 50);

    $l->append(100);
    $http->tell('poison 37');

    my ($code, $said) = $l->ship([ $sink ], '--once', '--metrics',
                                 $l->dir() . '/prom');

    is($code, 0, 'poison: the others go on') or diag($said);
    is_deeply([ arrived($http) ], [ 1 .. 36, 38 .. 100 ],
              'poison: in order, none twice');

    my @dead = $l->dead('poison');

    is(scalar(@dead), 1, 'poison: one is put aside');
    is_deeply([ @{$dead[0]}{qw/seq leaf origin status/} ],
              [ 37, $l->leaf(37), $l->{origin}, 400 ], 'poison: that one');
    is($l->cursor('poison')->{seq}, 100, 'poison: the cursor is at the end');
    is(metric($l, 'dead_total', 'poison'), 1, 'poison: counted');
    is(metric($l, 'sent_total', 'poison'), 99, 'poison: others are sent');
    like($said, qr/record 37 was refused and is put aside: HTTP 400/,
         'poison: and said');

    # the last one there is, and the first

    $l->append(1);
    $http->tell('poison 101');
    ($code) = $l->ship([ $sink ], '--once');
    is($code, 0, 'poison: alone');
    is($l->cursor('poison')->{seq}, 101, 'poison: behind it');
}


# a collector with a limit of its own is not one that refuses records

sub larger {
    my ($l, $http, $sink) = webhook('larger', records => 64);

    $l->append(300);
    $http->tell('larger 9');

    my ($code) = $l->ship([ $sink ], '--once');

    is($code, 0, 'limit: found');
    is_deeply([ arrived($http) ], [ 1 .. 300 ], 'limit: all in order');
    is(scalar(() = $l->dead('larger')), 0, 'limit: nothing is put aside');

    my $refused = grep { $_->{status} == 413 } $http->requests();
    cmp_ok($refused, '<', 10, 'limit: remembered');
}


# who refuses everything has not understood, or we have not

sub refuses_all {
    my ($l, $http, $sink) = webhook('all');

    $l->append(20);
    $http->tell('422');

    my ($code, $said) = $l->ship([ { %$sink, refused_max => 3 } ], '--once');

    is($code, 1, 'everything: not delivered');
    is_deeply([ map { $_->{seq} } $l->dead('all') ], [ 1, 2, 3 ],
              'everything: few are put aside');
    like($said, qr/refuses every record/, 'everything: said so');

    $http->tell('ok');
    ($code) = $l->ship([ $sink ], '--once');
    is($code, 0, 'everything: until it does not');
    is_deeply([ arrived($http) ], [ 4 .. 20 ], 'everything: the rest arrives');
}


# what somebody has to put right

sub configuration {
    my ($l, $http, $sink) = webhook('conf');
    my $token = $l->secret('conf.token', 'canary-old');

    $sink->{token_file} = $token;
    $l->append(5);
    $http->tell('401');
    $l->start([ $sink ]);

    ok(wait_for(sub { $l->said() =~ /the configuration is wrong.*HTTP 401/ },
                $long), '401: said so');
    is(scalar(() = $l->dead('conf')), 0, '401: nothing is put aside');

    $l->secret('conf.token', 'canary-new');
    ok(wait_for(sub { grep { $_->{headers}{authorization}
                             eq 'Bearer canary-new' } $http->requests() },
                $long), '401: a new token is taken');

    # where the log goes is not for others to say

    $http->tell('307');
    ok(wait_for(sub { $l->said() =~ /HTTP 307/ }, $long),
       'redirect: not followed');

    $http->tell('ok');
    ok(wait_for(sub { arrived($http) == 5 }, $long), 'then all arrives');
    ok(!grep({ $_->{line} =~ /elsewhere/ } $http->requests()),
       'redirect: really not');

    my ($code, $said) = $l->stop();
    is($code, 0, 'ends in peace');
    unlike($said, qr/canary/, 'no token was said');
}


# a secret that looks as one that is hidden

sub stars {
    my ($l, $http, $sink) = webhook('stars');

    $sink->{token_file} = $l->secret('stars.token', '**');
    $l->append(1);
    $http->tell('body it was ** and *****, not *');

    my ($code, $said) = $l->ship([ $sink ], '--once');

    isnt($code, 'hangs', 'stars: hidden, once');
    like($said, qr/it was \*\* and \*\*\*\*\*, not \*/, 'stars: and said');
}


# tokens of OAuth: kept, fetched before they expire, and when they are refused

sub login {
    my ($l, $http) = webhook('api');
    my $login = $l->http_sink('login');
    my $secret = $l->secret('client', 'canary-client');

    my $sink = { name => 'api', type => 'sentinel', url => $http->url(),
                 dcr => 'dcr-1', stream => 'Custom-A', client_id => 'me',
                 client_secret_file => $secret, backoff_max => 1,
                 token_url => $login->url('/token') };

    # who repeats the secret

    $l->append(1);
    $login->tell('body {"error":"invalid_client","error_description":'
                 . '"not canary-client"}');
    $l->start([ $sink ]);

    ok(wait_for(sub { $l->said() =~ /HTTP 400: invalid_client/ }, $long),
       'login: refused');

    $login->tell('token {"access_token":"canary-t%N%","expires_in":2}');
    ok(wait_for(sub { $http->accepted() == 1 }, $long), 'login: then not');

    # expires, less a part of that

    sleep 1.3;
    $l->append(1);
    ok(wait_for(sub { $http->accepted() == 2 }, $long), 'login: again');
    my @with = map { $_->{headers}{authorization} } $http->accepted();
    is_deeply(\@with, [ 'Bearer canary-t0', 'Bearer canary-t1' ],
              'login: with a new token before the old one expires');

    # taken back before its time

    $login->tell('token {"access_token":"canary-x%N%","expires_in":3600}');
    sleep 1.3;
    $http->tell('401');
    $l->append(1);
    ok(wait_for(sub { (grep { $_->{status} == 401 } $http->requests()) >= 2 },
                $long), 'login: refused by the sink');
    my @refused = grep { $_->{status} == 401 } $http->requests();
    isnt($refused[0]{headers}{authorization},
         $refused[1]{headers}{authorization}, 'login: tried with a new one');

    $http->tell('ok');
    ok(wait_for(sub { $http->accepted() == 3 }, $long), 'login: delivered');

    # an answer that is none

    my ($code, $said) = $l->stop();
    is($code, 0, 'login: ends in peace');
    unlike($said, qr/canary/, 'login: neither secret nor token was said');
}


# OTLP: accepted, but not all of it, and not to be sent again

sub partial {
    my ($l, $http) = webhook('otel');

    $l->append(6);
    $http->tell('partial 2');

    my ($code, $said) = $l->ship([ { name => 'otel', type => 'otlp',
                                     url => $http->url() } ],
                                 '--once', '--metrics', $l->dir() . '/prom');
    my @dead = $l->dead('otel');

    is($code, 0, 'partial: accepted');
    is(scalar(() = $http->requests()), 1, 'partial: not sent again');
    is_deeply([ map { @$_{qw/seq last rejected/} } @dead ], [ 1, 6, 2 ],
              'partial: put aside with what is known');
    is(metric($l, 'dead_total', 'otel'), 2, 'partial: counted');
    like($dead[0]{answer}, qr/too old/, 'partial: with the reason');
}


# kill -9 at any time: nothing is lost

sub killed {
    my ($l, $http, $sink) = webhook('killed', records => 3);
    my $n = 0;

    $l->append(240);

    for my $round (1 .. 8) {
        my $seen = () = $http->accepted();

        $l->start([ $sink ]);
        wait_for(sub { (my @r = $http->accepted()) > $seen + $round % 4 }, 5);
        my ($code) = $l->stop('KILL');
        $n++ if $code == 137;

        my $cursor = $l->cursor('killed');
        my $last = (sort { $b <=> $a } arrived($http))[0];

        cmp_ok($cursor ? $cursor->{seq} : 0, '<=', $last || 0,
               "killed: no record is passed over ($round)");
    }

    is($n, 8, 'killed: eight times');

    my ($code) = $l->ship([ $sink ], '--once');

    is($code, 0, 'killed: goes on');
    all_arrived('killed', 240, arrived($http));
    cmp_ok(scalar(() = arrived($http)), '<=', 240 + 8 * 3,
           'killed: few come twice');
}


# syslog acknowledges nothing: what a collector had in its hands when it died

sub lost {
    my $l = ArmorIQ::Ship->new();
    my $log = $l->syslog_sink('lossy');

    my $sink = { name => 'lossy', type => 'syslog', backoff_max => 1,
                 batch_records => 8, url => "tcp://127.0.0.1:$log->{port}" };

    my $seqs = sub { map { / seq="(\d+)"/ } $log->messages() };

    $l->append(40);
    $log->tell('lose 21');
    $l->start([ $sink ]);

    ok(wait_for(sub { my %s = map { $_ => 1 } $seqs->(); keys %s == 40 },
                $long), 'syslog: all arrive, although nothing comes behind');
    $l->append(3);
    ok(wait_for(sub { my %s = map { $_ => 1 } $seqs->(); keys %s == 43 },
                $long), 'syslog: and more');

    my ($code) = $l->stop();
    is($code, 0, 'syslog: ends in peace');
    all_arrived('syslog', 43, $seqs->());

    # restarted while nobody sends

    $l->start([ $sink ]);
    $l->append(1);
    ok(wait_for(sub { grep { $_ == 44 } $seqs->() }, $long),
       'syslog: connected');

    $l->kill_sink($log);
    my $again = $l->syslog_sink('lossy', port => $log->{port});

    $l->append(2);
    ok(wait_for(sub { my %s = map { $_ => 1 } $seqs->(); keys %s == 46 },
                $long), 'syslog: connected again');
    $l->stop();
    all_arrived('syslog', 46, $seqs->());
}


# SIGTERM while a collector does not answer

sub hanging {
    my ($l, $http, $sink) = webhook('hanging');

    $sink->{timeout} = 300;
    $l->append(2);
    $http->tell('hang');
    $l->start([ $sink ]);

    ok(wait_for(sub { (my @r = $http->requests()) == 1 }, $long),
       'end: a request hangs');

    my ($code) = $l->stop();
    is($code, 0, 'end: is not kept by it');
    is($l->cursor('hanging'), undef, 'end: nothing was acknowledged');

    $http->tell('ok');
    ($code) = $l->ship([ $sink ], '--once');
    is_deeply([ arrived($http) ], [ 1, 2 ], 'end: sent the next time');
}


# records behind a break are not sent, and it is told

sub changed {
    my ($name, $want, $like, $change, $most) = @_;
    my ($l, $http, $sink) = webhook('tampered', records => 4);

    $l->append(10)->rotate()->append(10)->rotate()->append(10);

    my @first = map { $l->segment($_) } 1, 11, 21;
    $change->(@first);

    my ($code, $said) = $l->ship([ $sink ], '--once', '--metrics',
                                 $l->dir() . '/prom');

    is($code, $want, "$name: exit code");
    like($said, qr/^armoriqctl: ALARM: sink "tampered" stops behind record/,
         "$name: alarm");
    like($said, $like, "$name: what it is");
    is_deeply([ arrived($http) ], [ 1 .. $most ],
              "$name: what is before it is sent, and nothing else");
    is(metric($l, 'stopped', 'tampered'), 1, "$name: in the metrics");
}

sub edit {
    my ($file, $code) = @_;

    local $_ = ArmorIQ::Ship::slurp($file);
    $code->();
    ArmorIQ::Ship::spew($file, $_);
}

sub tampered {
    changed('a byte', 20, qr/is not the hash of the record before/,
            sub { edit($_[1], sub { s/("seq":15,.*)agent":"ops/$1agent":"opt/
                                    or die }) }, 15);
    changed('a line', 21, qr/another number was expected/,
            sub { edit($_[1], sub { s/^[^\n]*"seq":15,[^\n]*\n//m or die }) },
            14);
    changed('two lines', 21, qr/another number was expected/,
            sub { edit($_[1], sub {
                s/^([^\n]*"seq":15,[^\n]*\n)([^\n]*\n)/$2$1/m or die }) },
            14);
    changed('a segment', 21, qr/begins with another record/,
            sub { unlink $_[1] }, 10);
    changed('no JSON', 20, qr/not valid JSON|does not begin like/,
            sub { edit($_[1], sub { s/("seq":15,[^\n]*)\}\n/$1\n/ or die }) },
            14);
    changed('no record', 20, qr/does not begin like a record/,
            sub { edit($_[2], sub { s/^/{"v":2}\n/ or die }) }, 20);
    changed('log.json', 20, qr/ALARM/, sub {
        edit($_[0] =~ s/seg-.*/log.json/r,
             sub { s/AIQL\/1/AIQL\/9/ or die }) }, 0);

    # while it is followed

    my ($l, $http, $sink) = webhook('cut');

    $l->append(10);
    $l->start([ $sink ]);
    ok(wait_for(sub { arrived($http) == 10 }, $long), 'cut: all there');
    truncate $l->segment(1), 200;

    my ($code, $said) = $l->finish($long);
    is($code, 22, 'cut: found while it is followed');
    like($said, qr/became shorter/, 'cut: what it is');

    ($code, $said) = $l->ship([ $sink ], '--once');
    is($code, 24, 'cut: and at the next start');

    ($l, $http, $sink) = webhook('moved');

    $l->append(10);
    $l->start([ $sink ]);
    ok(wait_for(sub { arrived($http) == 10 }, $long), 'moved: all there');
    rename $l->segment(1), $l->dir() . '/elsewhere';

    ($code, $said) = $l->finish($long);
    is($code, 22, 'moved: found while it is followed');
    like($said, qr/deleted, renamed or replaced/, 'moved: what it is');
}


# a cursor says what was there

sub another_log {
    my ($l, $http, $sink) = webhook('other');

    $l->append(10);
    my ($code) = $l->ship([ $sink ], '--once');
    is($code, 0, 'another log: the first one');

    $l->create($l->dir() . '/store2/audit', $l->dir() . '/store2');
    $l->append(20);

    my $said;

    ($code, $said) = $l->ship([ $sink ], '--once');
    is($code, 24, 'another log: exit code');
    like($said, qr/ALARM.*behind record 10: .*--anew other/,
         'another log: what to do');
    is(scalar(() = arrived($http)), 10, 'another log: nothing is sent');

    ($code, $said) = $l->ship([ $sink ], '--once', '--anew', 'others');
    is($code, 2, 'another log: no such sink');

    ($code, $said) = $l->ship([ $sink ], '--once', '--anew', 'other');
    is($code, 0, 'another log: anew') or diag($said);
    is_deeply([ arrived($http) ], [ 1 .. 10, 1 .. 20 ],
              'another log: from its first record');

    # what is no cursor is not taken for none

    ArmorIQ::Ship::spew($l->dir() . '/state/other.cursor', '{"seq":3}');
    ($code, $said) = $l->ship([ $sink ], '--once');
    is($code, 3, 'damaged cursor: exit code');
    like($said, qr/not a cursor/, 'damaged cursor: what it is');
    is(scalar(() = arrived($http)), 30, 'damaged cursor: nothing is sent');
}


# two of them would share cursors

sub alone {
    my ($l, $http, $sink) = webhook('alone');

    $l->append(1);
    $l->start([ $sink ]);
    ok(wait_for(sub { arrived($http) == 1 }, $long), 'alone: works');

    my $first = $l->{shipper};
    my ($code, $said) = $l->ship([ $sink ], '--once');
    is($code, 3, 'alone: a second one is refused');
    like($said, qr/another "audit ship" works with/, 'alone: and says why');

    $l->{shipper} = $first;
    ($code) = $l->stop();
    is($code, 0, 'alone: the first one goes on until it is told');

    chmod 0777, $l->dir() . '/state';
    ($code, $said) = $l->ship([ $sink ], '--once');
    is($code, 3, 'state: not if others may write to it');
}
