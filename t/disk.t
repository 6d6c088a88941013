#!/usr/bin/perl

# Guards what an nginx is good for while the disk of its log is slow, broken,
# read-only or over its quota: nothing is executed that is not on disk, whoever
# needs no record to be waited for is served at once, and it goes on by itself
# when the disk does.  The latencies are printed; what is asserted is only that
# nobody waits for the disk.

use strict;
use warnings;

use Fcntl qw/LOCK_EX/;
use FindBin;
use IO::Select;
use POSIX qw/EDQUOT EIO EROFS WNOHANG/;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Disk;
use ArmorIQ::Rows;


my $json = "Content-Type: application/json\r\n";

subtest 'a sync takes two seconds' => \&two_seconds;
subtest 'EIO' => sub { dead_disk(EIO) };
subtest 'EROFS' => sub { dead_disk(EROFS) };
subtest 'EDQUOT' => sub { dead_disk(EDQUOT) };
subtest 'a disk that hangs' => \&hanging;
subtest 'a sync fails, then another worker' => sub { one_sync(\&other) };
subtest 'a sync fails, then a new worker' => sub { one_sync(\&killed) };
subtest 'a sync fails, then a reload' => sub { one_sync(\&reloaded) };
subtest 'a sync fails, then another nginx' => sub { one_sync(\&restarted) };
subtest 'a sync fails, then armoriqctl' => sub { one_sync(\&by_hand) };
subtest 'a sync fails for a checkpoint' => \&unsigned;
subtest 'more than there is room for' => \&full_ring;
subtest 'proofs that take long' => \&proofs;

done_testing();


sub two_seconds {
    shim() or return;
    begin();
    permitted('a call', call());
    quick('before');

    switch('slow', 2000);

    my @calls = (begin_call(body(), $auth));
    my $start = time();

    sleep 1;
    is(seen(), 0, 'a call waits for its record');

    # there is always somebody who waits

    quick('meanwhile', sub {
        push @calls, begin_call(body(), $auth) if $_[0] % 50 == 0;
    });

    cmp_ok(time() - $start, '>', 2, 'the disk was slow all the time');

    my $served = grep { http_parse(drain($_))->{status} == 200 } @calls;

    is($served, scalar @calls, "all $served calls are served in the end");
    is(seen(), $served, 'once');

    switch('slow', 0);
    recovers();
    evidence();
}


# neither written nor created, as on a file system that is gone

# whoever writes has the lock meanwhile: a master that waited for it would see
# to no worker and obey no signal

sub hanging {
    $t = ArmorIQ->new();
    begin();
    permitted('a call', call());

    for (1 .. 200) {
        last if $t->audit_records('OUTCOME');
        sleep 0.05;
    }

    my $pid = hold($t->audit() . '/lock');
    my ($code, $out) = $t->check_config();

    is($code, 0, 'nginx -t') or diag($out);
    is(waitpid($pid, WNOHANG), 0, 'does not wait');

    my %old = map { $_ => 1 } $t->workers();

    $t->reload();
    ok(scalar(grep { !$old{$_} } $t->workers()), 'nor does a reload');

    is(scalar(grep { http_parse(http($t->port(0), '/plain'))->{status} == 200 }
              1 .. 20), 20, 'the new worker serves');
    is(deny()->{why}, 'STEP_NOT_PLANNED', 'and refuses');

    is(waitpid($pid, WNOHANG), 0, 'all that while it hangs');

    kill 'KILL', $pid;
    waitpid $pid, 0;

    recovers();
    $t->stop();
    verified();
    finish();
}

# a lock, for 20 seconds at most

sub hold {
    my ($file) = @_;

    pipe my $in, my $out or die "pipe: $!";

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid == 0) {
        open my $f, '+<', $file or POSIX::_exit(1);
        flock $f, LOCK_EX or POSIX::_exit(1);
        syswrite $out, '.';
        sleep 20;
        POSIX::_exit(0);
    }

    close $out;
    sysread($in, my $ready, 1) or die "$file cannot be locked";

    return $pid;
}

sub dead_disk {
    my ($errno) = @_;

    shim() or return;
    begin();
    permitted('a call', call());
    switch('errno', $errno);

    my @got = map { call() } 1 .. 5;

    is_deeply([ map { "$_->{status} $_->{why}" } @got ],
              [ ('503 AUDIT_UNAVAILABLE') x 5 ], 'no call is served')
        or diag($got[0]{raw});
    is(seen(), 0, 'none has left');

    # again and again, so that it is tried while they are asked

    quick('meanwhile', sub { call() if $_[0] % 20 == 0 });
    is(seen(), 0, 'nothing has left meanwhile');

    switch('errno', 0);
    recovers();
    evidence();
}


# A sync has failed for one worker, which does not come to say so in the log.
# Whoever writes next does not sync that segment again, which would succeed,
# but begins another one.

sub one_sync {
    my ($next) = @_;

    shim() or return;
    begin();
    configured('worker_processes 1', 'worker_processes 2');

    my ($this, $that) = $t->workers();

    halt($that);
    permitted('a call', call());
    outcomes(1);

    # a record can be seen before its own sync is over

    sleep 0.3;
    switch('sync', 1);
    refused('a call', call(), 503, 'AUDIT_UNAVAILABLE');
    halt($this);

    my ($old) = segments();
    my $size = -s $old;
    my ($last) = (lines())[-1] =~ /"seq":(\d+)/;

    $next->($this, $that);

    permitted('the next call', call());
    is(-s $old, $size, 'the segment was not gone on with');

    my ($recovery) = $t->audit_records('RECOVERY');

    is_deeply([ @$recovery{qw/seq uncertain_from uncertain_to/} ],
              [ $last + 1, $last, $last ], 'it was declared')
        or diag(explain($recovery));

    goes_on($_) for $this, $that;
    recovers();
    is(scalar(segments()), 2, 'there is one new segment');
    evidence(qr/armoriq|exited on signal 9/);
}

sub other {
    my ($this, $that) = @_;

    switch('sync', 0);
    goes_on($that);
}

# both, for one of them would do

sub killed {
    my @old = @_;

    kill 'KILL', @old;
    until_true(sub { my %now = map { $_ => 1 } $t->workers();
                     keys %now == 2 && !grep { $now{$_} } @old });
    switch('sync', 0);
}

sub reloaded {
    my ($this, $that) = @_;

    switch('sync', 0);
    kill 'KILL', $that;
    until_true(sub { !grep { $_ == $that } $t->workers() });
    $t->reload();
}

# a new zone: what the old one knew is lost

sub restarted {
    $t->crash();
    switch('sync', 0);
    $t->start();
}

# nothing is shared with it

sub by_hand {
    my ($this, $that) = @_;

    switch('sync', 0);

    my ($code) = $t->ctl('audit', 'rotate', $t->audit());

    is($code, 0, 'audit rotate');
    goes_on($that);
}


# what could not be synced for a checkpoint is neither signed nor gone on with

sub unsigned {
    shim() or return;
    begin();
    configured('(armoriq_audit [^;]+)', '$1 durability=write checkpoint=1');

    permitted('a call', call());
    outcomes(1);
    until_true(sub { signed() == lines() });

    my $before = signed();

    switch('sync', 1);
    permitted('a call that does not wait for a sync', call());
    outcomes(2);
    until_true(sub { $t->read('error.log') =~ /cannot be synced/ });
    switch('sync', 0);

    my $last = lines();

    is(signed(), $before, 'no checkpoint');
    permitted('the next call', call());

    my ($recovery) = $t->audit_records('RECOVERY');

    is_deeply([ @$recovery{qw/seq uncertain_from uncertain_to/} ],
              [ $last + 1, $before + 1, $last ],
              'all that was not signed yet is uncertain')
        or diag(explain($recovery));

    outcomes(3);
    until_true(sub { signed() == lines() });
    is(signed(), scalar(lines()), 'then it is signed');
    is(scalar(segments()), 2, 'there is one new segment');
    evidence();
}

sub signed {
    open my $f, '<', $t->audit() . '/checkpoint' or return 0;

    return (<$f>, <$f>)[1] + 0;
}


sub configured {
    my ($from, $to) = @_;
    my $conf = $t->read('nginx.conf');
    my %old = map { $_ => 1 } $t->workers();

    $conf =~ s/$from/my $one = $1; (my $text = $to) =~ s{\$1}{$one}; $text/e;

    $t->write('nginx.conf', $conf);
    $t->reload();
    until_true(sub { !grep { $old{$_} } $t->workers() });
}

sub segments {
    my @names = sort glob $t->audit() . '/seg-*.jsonl';

    return @names;
}

sub outcomes {
    my ($n) = @_;

    until_true(sub { $n <= grep { /"t":"OUTCOME"/ } lines() });
}

sub halt {
    my ($pid) = @_;

    kill 'STOP', $pid;
    until_true(sub { state($pid) eq 'T' });
}

# if it is still there

sub goes_on { kill 'CONT', $_[0] }

sub state {
    open my $f, '<', "/proc/$_[0]/stat" or return '';

    return <$f> =~ /\) (\S)/ ? $1 : '';
}

sub until_true {
    my ($ask) = @_;

    for (1 .. 500) {
        return if $ask->();
        sleep 0.02;
    }

    fail('it comes to that');
}


# Denials, which anybody can cause, come faster than they are written: there is
# room for calls all the same, until they are too many as well, and for what
# became of them.  Nothing is lost without a word.

sub full_ring {
    shim() or return;
    begin();
    permitted('a call', call());
    switch('slow', 4000);

    my @calls = begin_call(body(), $auth);
    my ($n, $bad) = (4000, 0);

    for (1 .. $n) {
        $bad++ if deny()->{why} ne 'STEP_NOT_PLANNED';
    }

    is($bad, 0, "$n refusals");

    push @calls, map { begin_call(body(), $auth) } 1 .. 5;

    is(http_parse(http($t->port(0), '/plain'))->{status}, 200,
       'others are served');

    my @more = map { begin_call(body(), $auth) } 1 .. 900;
    my %got;

    switch('slow', 0);

    is_deeply([ grep { http_parse(drain($_))->{status} != 200 } @calls ], [],
              'denials leave room for calls');

    for my $r (map { http_parse(drain($_)) } @more) {
        $got{$r->{status} . ($r->{why} ? " $r->{why}" : '')}++;
    }

    is_deeply([ sort keys %got ], [ '200', '503 AUDIT_UNAVAILABLE' ],
              'calls are refused when there is none');
    diag(join ', ', map { "$got{$_} times $_" } sort keys %got);

    seen();
    recovers();

    $t->stop();

    my @no = grep { $_->{reason} eq 'STEP_NOT_PLANNED' }
             $t->audit_records('INTENT');
    my ($lost, $said) = (0, 0);

    $lost += $_->{denials} for $t->audit_records('LOST');
    my $log = $t->read('error.log');

    $said += $1 while $log =~ /(\d+) denials could not be recorded/g;

    cmp_ok($lost, '>', 0, 'denials are more than there is room for');
    is(scalar @no + $lost, $n, 'each is in the log, or counted in it');
    is($said, $lost, 'and in the error log');
    is(scalar keys %{ { map { $_->{rid} => 1 } @no } }, scalar @no, 'once');
    is(($t->audit_verify())[0], 0, 'what became of the calls is known');
    evidence();
}


# nobody needs a key to ask for one: that must not cost others their tokens

sub proofs {
    shim() or return;
    begin();
    permitted('a call', call());

    for (1 .. 200) {
        last if http_parse(http($t->port(0), '/proof?seq=1'))->{status} == 200;
        sleep 0.05;
    }

    for my $n (40, 20) {
        switch('look', 1);

        my @socks = map { connected() } 1 .. $n;

        print $_ "GET /proof?seq=1 HTTP/1.1\r\nHost: localhost\r\n"
                 . "Connection: close\r\n\r\n" for @socks;

        # those that are refused are refused at once

        for (1 .. 200) {
            my @in = IO::Select->new(@socks)->can_read(0);

            last if @in >= $n - 4;
            sleep 0.05;
        }

        my $token = $t->request_token(plan => { goal => 'x', steps => [
            { action => 'infra.scale', mcp => 'infra-mcp' } ] });

        ok($token->{success}, 'a token meanwhile');

        switch('look', 0);

        my %n;

        $n{http_parse(drain($_))->{status}}++ for @socks;

        is_deeply(\%n, { 200 => 4, 503 => $n - 4 }, "four of $n at a time");
    }

    $t->stop();
    verified();
    finish();
}


# what needs no record to be waited for, and how long it took

sub quick {
    my ($when, $also) = @_;
    my $i = 0;

    my @rows = (
        [ 'health', 200, sub {
            http_parse(http($t->port(0), '/plain'))->{status} == 200 } ],
        [ 'refusals', 200, sub { deny()->{why} eq 'STEP_NOT_PLANNED' } ],
    );

    for (@rows) {
        my ($what, $n, $ask) = @$_;
        my ($bad, @ms) = (0);

        for (1 .. $n) {
            $also->($i++) if $also;

            my $start = time();

            $bad++ if !$ask->();
            push @ms, 1000 * (time() - $start);
            sleep 0.005;
        }

        @ms = sort { $a <=> $b } @ms;

        diag(sprintf '%s, %s, %d: p50 %.1f ms, p99 %.1f ms, max %.1f ms',
             $when, $what, $n, @ms[$n / 2, $n * 0.99 - 1, -1]);

        is($bad, 0, "$what, $when");
        cmp_ok($ms[-1], '<', 1000, 'nobody waits for the disk');
    }
}

sub deny { send_body(rpc('infra.kill', {}), $json . $auth) }


# after the fact: what was executed is a subset of what is in the log

sub evidence {
    my ($alerts) = @_;

    $t->stop();
    verified();
    is((witness())[1], 0, 'each call that has left has found its record');

    my %permit = map { $_->{req_h} => 1 }
                 grep { $_->{verdict} eq 'PERMIT' } $t->audit_records('INTENT');
    my @hits = $t->hits('tools/call');

    ok(@hits > 0, scalar(@hits) . ' calls were executed');
    is_deeply([ grep { !$permit{$t->salted('body', $_->{body})} } @hits ], [],
              'each of them has an INTENT with PERMIT');

    $t->allow_alerts($alerts || qr/armoriq/);
    finish();
}
