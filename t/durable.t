#!/usr/bin/perl

# Guards the order of things: first the record is on disk, then the call
# leaves.  A call that the MCP server has seen and that the log has not, or a
# call that was refused and left no record, is what an auditor must never
# find, whether the disk is slow, full, broken or gone.

use strict;
use warnings;

use Digest::SHA qw/sha256_hex/;
use FindBin;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Disk;
use ArmorIQ::Rows;


my $json = "Content-Type: application/json\r\n";


subtest 'records' => \&records;
subtest 'configuration' => \&configuration;
subtest 'a slow disk' => \&slow_disk;
subtest 'no room' => sub { failing_disk('enospc') };
subtest 'half a line' => sub { failing_disk('eio') };
subtest 'fdatasync() fails' => sub { failing_disk('sync') };
subtest 'few bytes at once' => sub { failing_disk('short') };
subtest 'half a group' => \&torn_group;
subtest 'killed while it writes' => \&killed_writer;
subtest 'a full disk' => \&full_disk;
subtest 'the lock is gone' => \&no_lock;

done_testing();


# somebody has tidied up, and a worker is replaced: the two take turns still

sub no_lock {
    shim() or return;
    begin();

    my $conf = $t->read('nginx.conf');

    $conf =~ s/worker_processes 1/worker_processes 2/;
    $t->write('nginx.conf', $conf);
    $t->reload();

    my ($worker) = $t->workers();

    unlink $t->audit() . '/flush.lock' or die;
    kill 'KILL', $worker;

    for (1 .. 250) {
        last if 2 == grep { $_ != $worker } $t->workers();
        sleep 0.02;
    }

    switch('slow', 30);

    my $served = 0;

    for (1 .. 6) {
        my @socks = map { begin_call(body(), $auth) } 1 .. 30;

        $served += grep { http_parse(drain($_))->{status} == 200 } @socks;
    }

    is($served, 180, 'all calls are served');
    is(seen(), 180, 'once');

    switch('slow', 0);
    recovers();
    $t->stop();

    my %n;

    $n{"$_->{t} $_->{rid}"}++
        for grep { $_->{rid} } $t->audit_records('INTENT'),
                               $t->audit_records('OUTCOME');

    is_deeply([ grep { $n{$_} > 1 } keys %n ], [], 'no record is there twice');
    verified();
    is((witness())[1], 0, 'each call that has left has found its record');

    $t->allow_alerts(qr/armoriq|signal 9/);
    finish();
}


# the log against what was asked, answered and seen

sub records {
    begin();

    my @got = map { call()->{status} } 1 .. 20;

    is_deeply(\@got, [ (200) x 20 ], '20 calls');

    my @socks = map { begin_call(body(), $auth) } 1 .. 60;

    is(scalar(grep { http_parse(drain($_))->{status} == 200 } @socks), 60,
       '60 at the same time');

    my @denied = (
        [ 'STEP_NOT_PLANNED', send_body(rpc('infra.kill', {}), $json . $auth),
          'infra.kill' ],
        [ 'STEP_PARAMS', send_body(rpc('infra.list', { a => 1 }),
                                   $json . $auth), 'infra.list' ],
        [ 'IDENTITY_MISSING', send_body(body(), $json) ],
        [ 'KEY_INVALID', send_body(body(), $json . "X-API-Key: ak_live_0\r\n")
        ],
        [ 'TOKEN_MISSING', send_body(body(), $json . "X-API-Key: $key\r\n") ],
        [ 'TOKEN_MALFORMED', send_body(body(), $json
                                       . "Authorization: Bearer a.b.c\r\n") ],
        [ 'JSON_INVALID', send_body("{\n\"t\":\"OUTCOME\"", $json . $auth) ],
        [ 'BATCH_NOT_ALLOWED', send_body('[]', $json . $auth) ],
        [ 'RPC_METHOD', send_body('{"jsonrpc":"2.0","id":1,"method":"x"}',
                                  $json . $auth) ],
        [ 'RPC_INVALID', send_body(rpc("a\n{\"t\":\"OUTCOME\"}", {}),
                                   $json . $auth) ],
        [ 'CONTENT_TYPE', send_body(body(), "Content-Type: x\r\n$auth") ],
        [ 'METHOD_NOT_ALLOWED', send_body(body(), $json . $auth,
                                          method => 'PUT') ],
        [ 'HEADER_DUPLICATE', send_body(body(), $json . $json . $auth) ],
        [ 'BODY_TOO_LARGE', send_body(rpc('infra.scale',
          { a => 'x' x 5000 }), $json . $auth, path => '/small') ],
        [ 'INVOKE_INVALID', send_body("{\"mcp\":\"a\\n{}\"}",
                                      $json . "X-API-Key: $key\r\n",
                                      path => '/invoke') ],
    );

    for (@denied) {
        my ($reason, $r) = @$_;

        is($r->{why}, $reason, "a refusal: $reason") or diag($r->{raw});
    }

    is(seen(), 80, 'the upstream has seen the 80');
    is_deeply([ witness() ], [ 80, 0 ],
              'each found its record on disk when it came');

    $t->stop();

    my ($code, $out) = $t->audit_verify();

    is($code, 0, 'audit verify: every outcome is known') or diag($out);

    # by hand: the chain, and what belongs to what

    my (%intent, %outcome, @no);
    my ($prev, $seq, $bad) = (undef, 0, 0);

    for my $line (lines()) {
        my $r = json_value($line);

        $bad++ if ref $r ne 'HASH' || $r->{seq} != ++$seq
                  || defined $prev && $r->{prev} ne $prev;
        $prev = sha256_hex("\0$line");

        if ($r->{t} eq 'INTENT' && $r->{verdict} eq 'PERMIT') {
            $intent{$seq} = [ $r, $prev ];

        } elsif ($r->{t} eq 'INTENT') {
            push @no, $r;

        } elsif ($r->{t} eq 'OUTCOME') {
            push @{ $outcome{$r->{intent}{seq}} }, $r;
        }
    }

    is($bad, 0, 'each line is a record, numbered and chained');
    is(scalar keys %intent, 80, '80 permits');
    is(scalar keys %outcome, 80, '80 outcomes');

    is_deeply([ grep {
        my ($i, @o) = ($intent{$_}, @{ $outcome{$_} || [] });

        @o != 1 || $o[0]{intent}{h} ne $i->[1] || $o[0]{rid} ne $i->[0]{rid}
        || $o[0]{status} ne 'executed' || $o[0]{http} != 200
        || $o[0]{attempts} != 1 || $o[0]{seq} < $_
    } sort keys %intent ], [], 'one for each, by number, hash and rid');

    is_deeply([ map { $_->{reason} } @no ], [ map { $_->[0] } @denied ],
              'each refusal has its record, in order');
    is_deeply([ map { $_->{reason} }
                grep { !($_->{verdict} eq 'DENY' && $_->{src} eq '127.0.0.1'
                         && $_->{rid} =~ /^[0-9a-f]{32}$/) } @no ],
              [], 'with verdict, source and rid');

    for (0, 1) {
        is_deeply([ @{ $no[$_] }{qw/org user agent mcp method tool http/} ],
                  [ qw/example alice sysadmin infra-mcp tools\/call/,
                    $denied[$_][2], 'POST' ], 'who wanted what');
    }

    is_deeply([ map { exists $no[$_]{org} || exists $no[$_]{user}
                      || exists $no[$_]{tok} ? 1 : 0 } 2, 3, 5 ],
              [ 0, 0, 0 ], 'nobody has no name');

    my ($first) = map { $intent{$_}[0] } sort { $a <=> $b } keys %intent;

    is_deeply([ @$first{qw/org user agent mcp method tool step reason http/} ],
              [ qw/example alice sysadmin infra-mcp tools\/call infra.scale
                   1 OK POST/ ], 'of a permit as well');

    my $all = join "\n", lines();

    unlike($all, qr/\Q$key\E/, 'the key is not in the log');
    unlike($all, qr/@{[ (split m{[ .]}, $auth)[2] ]}/,
           'nor are the claims of the token');

    finish();
}


# nginx never starts without a log

sub configuration {
    begin();

    my $audit = $t->audit();

    $t->stop();

    # each is undone before the next one

    my @broken = (
        [ 'no log.json', sub { rename "$audit/log.json", "$audit/x" or die },
          sub { rename "$audit/x", "$audit/log.json" } ],
        [ 'no directory', sub { rename $audit, "$audit.x" or die },
          sub { rename "$audit.x", $audit } ],
        [ 'a file instead of it', sub { rename $audit, "$audit.x" or die;
                                        spew($audit, 'x') },
          sub { unlink $audit; rename "$audit.x", $audit } ],
        [ 'log.json is empty', sub { keep("$audit/log.json", '') },
          sub { restore("$audit/log.json") } ],
        [ 'log.json is none', sub { keep("$audit/log.json", '{"v":1}') },
          sub { restore("$audit/log.json") } ],
        [ 'writable for everybody', sub { chmod 0777, $audit or die },
          sub { chmod 0750, $audit } ],
    );

    if ($> == 0) {
        push @broken, [ 'read-only', sub {
            system("mount --bind '$audit' '$audit' 2>/dev/null"
                   . " && mount -o remount,ro,bind '$audit' 2>/dev/null") == 0
                or return 'no mount permitted';
            mounted($audit);
            return;
        }, sub { unmount($audit) } ];

    } else {
        push @broken, [ 'not writable', sub { chmod 0550, $audit or die;
                                              return },
                        sub { chmod 0750, $audit } ];
    }

    for (@broken) {
        my ($name, $break, $mend) = @$_;
        my $why = $break->();

        SKIP: {
            skip $why, 2 if defined $why && $why =~ /^no mount/;

            my ($code, $out) = $t->check_config();

            isnt($code, 0, "nginx -t: $name");
            like($out, qr/\[emerg\].*\Q$audit\E/, 'names the directory');
        }

        $mend->();
    }

    my ($code, $out) = $t->check_config();

    is($code, 0, 'nginx -t: all is well again') or diag($out);

    # a reload that fails changes nothing

    $t->start();

    permitted('the workers have opened the log', call());

    rename "$audit/log.json", "$audit/x" or die;
    kill 'HUP', $t->master();
    sleep 0.5;

    permitted('after a reload without log.json the old ones serve on',
              call());
    rename "$audit/x", "$audit/log.json" or die;

    $t->allow_alerts(qr/armoriq_audit: "/);
    finish();
}


# fdatasync() that takes its time: nothing leaves before it is done

sub slow_disk {
    shim() or return;
    begin();

    permitted('a call', call());

    switch('slow', 700);

    my $n = body();
    my $s = begin_call($n, $auth);

    sleep 0.4;
    is(seen(), 0, 'while it is written nothing leaves');

    # whoever needs no record is not held up by it

    my $start = time();
    is(http_parse(http($t->port(0), '/health'))->{status}, 200, '/health');
    cmp_ok(time() - $start, '<', 0.25, 'is not held up');

    $start = time();
    refused('a refusal', send_body(rpc('infra.kill', {}), $json . $auth),
            409, 'STEP_NOT_PLANNED');
    cmp_ok(time() - $start, '<', 0.25, 'is not held up');

    is(http_parse(drain($s))->{status}, 200, 'then it is served');
    is(seen(), 1, 'once');

    # many wait together

    my @socks = map { begin_call(body(), $auth) } 1 .. 50;

    sleep 0.4;
    is(seen(), 0, 'while 50 are written none leaves');
    is(scalar(grep { http_parse(drain($_))->{status} == 200 } @socks), 50,
       'then all are served');
    is(seen(), 50, 'once');

    # gone before the record was there

    $s = begin_call(rpc('infra.restart', { n => 1 }), $auth);
    sleep 0.3;
    close $s;
    sleep 1;
    switch('slow', 0);
    sleep 0.5;

    is(seen(), 0, 'who has left meanwhile is not served');
    permitted('so the step was not used',
              send_body(rpc('infra.restart', { n => 1 }), $json . $auth));
    refused('but now it is',
            send_body(rpc('infra.restart', { n => 1 }), $json . $auth),
            409, 'STEP_USED');

    my @record = grep { $_->{t} eq 'INTENT'
                        && ($_->{tool} || '') eq 'infra.restart'
                        && $_->{verdict} eq 'PERMIT' } $t->audit_records();

    is(scalar @record, 2, 'both have a permit');

    my ($of) = grep { $_->{intent}{seq} == $record[0]{seq} }
               $t->audit_records('OUTCOME');

    is($of->{status}, 'not_sent', 'the outcome of the first: not sent');

    finish();
}


# write() and fdatasync() that fail, or write less than they were given

sub failing_disk {
    my ($fault) = @_;

    shim() or return;
    begin();

    permitted('before', call());
    switch($fault, 1);

    my @got;

    for (1 .. 10) {
        push @got, call();
        sleep 0.1;
    }

    if ($fault eq 'short') {
        is(scalar(grep { $_->{status} == 200 } @got), 10,
           'what is written in pieces is written');
        is(seen(), 10, 'all have left');

    } else {
        is_deeply([ map { "$_->{status} $_->{why}" } @got ],
                  [ ('503 AUDIT_UNAVAILABLE') x 10 ],
                  '503 AUDIT_UNAVAILABLE') or diag($got[0]{raw});
        is($got[0]{headers}{'retry-after'} ? 1 : 0, 1, 'Retry-After');

        my $r = send_body(rpc('infra.restart', { n => 2 }), $json . $auth);

        is($r->{why}, 'AUDIT_UNAVAILABLE', 'a step with one use');
        is(seen(), 0, 'the upstream has seen nothing');
    }

    refused('a refusal does not wait for its record',
            send_body(rpc('infra.kill', {}), $json . $auth),
            409, 'STEP_NOT_PLANNED');

    switch($fault, 0);
    recovers();

    permitted('the step was not used',
              send_body(rpc('infra.restart', { n => 2 }), $json . $auth));

    # a record that may not be on disk is written again

    my %rid = map { $_->{rid} => 1 } grep { ($_->{tool} || '') eq 'infra.kill' }
              $t->audit_records('INTENT');

    is(scalar keys %rid, 1, 'the refusal is in the log');
    is((witness())[1], 0, 'each call that has left has found its record');

    $t->stop();
    verified();
    $t->allow_alerts(qr/armoriq/);
    finish();
}

# Of a group of outcomes all but the last are on disk when the write fails:
# they are written again, and that must not look like two outcomes of a call.

sub torn_group {
    shim() or return;
    begin();
    switch('slow', 300);

    my @socks = map { begin_call(body(), $auth) } 1 .. 10;

    is(scalar(grep { http_parse(drain($_))->{status} == 200 } @socks), 10,
       'ten calls, whose outcomes will be one group');

    switch('torn', 1);
    sleep 1;
    switch('slow', 0);
    switch('torn', 0);

    is(seen(), 10, 'all have left');
    recovers();

    $t->stop();
    verified();

    my %by;

    push @{ $by{$_->{intent}{seq}} }, $_ for $t->audit_records('OUTCOME');

    is(scalar keys %by, 11, 'each has its outcome');

    $t->allow_alerts(qr/armoriq/);
    finish();
}

# A worker dies when its records are in the file, but before it could say so:
# who takes over finds them in the ring, and must find them in the file, too.

sub killed_writer {
    shim() or return;
    begin();
    $t->allow_alerts(qr/exited on signal 9/);

    permitted('a call', call());
    switch('slow', 800);

    # while an outcome is written

    is(http_parse(drain(begin_call(body(), $auth)))->{status}, 200,
       'another one, whose outcome is on its way');
    is(seen(), 1, 'it has left');
    replace_worker();
    switch('slow', 0);
    recovers();
    verified();

    # while an intent is written

    switch('slow', 800);

    my $s = begin_call(body(), $auth);

    replace_worker();
    switch('slow', 0);
    is(drain($s), '', 'its client has no answer');
    is(seen(), 0, 'it has not left');
    recovers();

    $t->stop();
    verified();

    my (%intent, %outcome);

    $intent{$_->{rid}}++ for $t->audit_records('INTENT');
    $outcome{$_->{rid}}++ for $t->audit_records('OUTCOME');

    is_deeply([ grep { $intent{$_} > 1 } keys %intent ], [],
              'no intent was written twice');
    is_deeply([ grep { $outcome{$_} > 1 } keys %outcome ], [],
              'no outcome was written twice');

    finish();
}

sub replace_worker {
    my ($old) = $t->workers();

    sleep 0.3;
    kill 'KILL', $old;

    for (1 .. 250) {
        last if grep { $_ != $old } $t->workers();
        sleep 0.02;
    }
}


# no room, for real

sub full_disk {
    my $dir = ArmorIQ->new()->dir() . '-full';

    mkdir $dir or die "$dir: $!";

    if ($> != 0 || system("mount -t tmpfs -o size=256k none '$dir'"
                          . ' 2>/dev/null') != 0)
    {
        rmdir $dir;
        plan(skip_all => 'no tmpfs can be mounted');
    }

    mounted($dir);

    begin(audit => "$dir/audit");
    permitted('a call', call());

    for my $round (1, 2) {
        fill("$dir/filler");

        my ($served, @refused) = (0);

        for (1 .. 40) {
            my $r = call();

            $r->{status} == 200 ? $served++ : push @refused, $r;
            last if @refused == 10;
        }

        is_deeply([ map { "$_->{status} $_->{why}" } @refused ],
                  [ ('503 AUDIT_UNAVAILABLE') x 10 ],
                  "full: 503 AUDIT_UNAVAILABLE, after $served calls");
        is(seen(), $served, 'the upstream has seen what was served');
        is_deeply([ (witness())[1] ], [ 0 ], 'none without a record');

        unlink "$dir/filler" or die;

        recovers();
        verified();
    }

    $t->stop();
    verified();

    # an outcome that may not be on disk is written again

    my $executed = keys %{ { map { $_->{intent}{seq} => 1 }
                             grep { $_->{status} eq 'executed' }
                             $t->audit_records('OUTCOME') } };
    my $permits = grep { $_->{verdict} eq 'PERMIT' }
                  $t->audit_records('INTENT');

    is((witness())[0], $t->calls(), 'every call was looked at');
    cmp_ok($permits, '>=', $t->calls(), 'no call without a permit');
    cmp_ok($executed, '<=', $t->calls(), 'no outcome without a call');

    $t->allow_alerts(qr/armoriq/);
    finish();
    unmount($dir);
    rmdir $dir;
}

sub spew {
    my ($file, $text) = @_;

    open my $f, '>:raw', $file or die "$file: $!";
    print $f $text;
    close $f;
}

sub keep {
    my ($file, $text) = @_;

    rename $file, "$file.kept" or die "$file: $!";
    spew($file, $text);
    chmod 0640, $file;
}

sub restore { rename "$_[0].kept", $_[0] or die }
