#!/usr/bin/perl

# Guards the log over its segments, and what it says of itself: that nothing is
# lost between two of them while workers die and nginx is reloaded, that a disk
# that fills up stops calls before it stops their evidence, and that a silent
# log can be told from one that was cut off.

use strict;
use warnings;

use Digest::SHA qw/sha256_hex/;
use FindBin;
use IO::Handle;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Rows;


my $json = "Content-Type: application/json\r\n";
my $owner = $$;
my $number = 0;
my @mounted;
my @marked;

my ($t, $auth);

ArmorIQ->new();                          # or skips all

subtest 'under load' => \&load;
subtest 'by hand' => \&by_hand;
subtest 'append only' => \&append_only;
subtest 'old enough' => \&old_enough;
subtest 'what nginx says' => \&events;
subtest 'no reload in between' => \&killed;
subtest 'silence' => \&silence;
subtest 'a full disk' => sub { full_disk('tmpfs') };
subtest 'a full disk, ext4' => sub { full_disk('ext4') };
subtest 'no room for a segment' => \&full_rotate;

done_testing();


# small segments, many clients, a dead worker, a reload

sub load {
    begin('rotate=64k checkpoint=1,64', workers => 4);
    $t->allow_alerts(qr/exited on signal 9/);

    my $dir = $t->dir();
    my @clients;

    for my $i (1 .. 6) {
        my $pid = fork;

        die "fork: $!" if !defined $pid;

        if ($pid == 0) {
            open my $out, '>', "$dir/answers.$i" or die;
            $out->autoflush(1);

            for my $n (1 .. 80) {
                my $r = eval { call("$i.$n") } || {};
                my $h = $r->{headers} || {};

                print $out join(' ', $r->{status} || 0,
                                $h->{'x-armoriq-record'} || '-',
                                $h->{'x-armoriq-leaf'} || '-'), "\n";
            }

            POSIX::_exit(0);
        }

        push @clients, $pid;
    }

    until_true(sub { segments() >= 2 });
    kill 'KILL', ($t->workers())[0];
    until_true(sub { 4 == (my @w = $t->workers()) });
    until_true(sub { segments() >= 3 });
    $t->reload();

    waitpid $_, 0 for @clients;

    my ($code, $out) = $t->audit_verify();

    like($code, qr/^(?:0|10)$/, 'verify while it runs') or diag($out);

    $t->stop();
    ($code, $out) = $t->audit_verify();
    like($code, qr/^(?:0|10)$/, 'verify') or diag($out);

    # all that was answered is there, with the hash that it was told

    my @lines = lines();
    my ($served, @bad) = (0);

    for my $i (1 .. 6) {
        for (split /\n/, $t->read("answers.$i")) {
            my ($status, $record, $leaf) = split;

            next if $status != 200;
            $served++;

            my ($seq) = $record =~ m{/(\d+)\z};
            my $line = $seq ? $lines[$seq - 1] : '';

            push @bad, "$record $leaf"
                if sha256_hex("\0$line") ne $leaf
                   || $line !~ /^\{"v":1,"seq":$seq,/
                   || $line !~ /"t":"INTENT".*"verdict":"PERMIT"/;
        }
    }

    cmp_ok($served, '>', 400, 'calls were served');
    is_deeply(\@bad, [], 'each of them has its record');

    my $permits = grep { /"verdict":"PERMIT"/ } @lines;

    cmp_ok($t->calls(), '>=', $served, 'the upstream has seen them');
    cmp_ok($t->calls(), '<=', $permits, 'and nothing else');

    # segments

    my @names = segments();
    my (@long, @head) = ();

    for my $i (0 .. $#names) {
        my ($first) = (map { json_value($_) } lines($names[$i]))[0];
        my $before = $i ? $names[$i - 1] : '';

        push @head, $first->{t} if $i;
        push @long, $names[$i] if -s $names[$i] > 65536 + 20000;

        next if !$i || $first->{t} ne 'ROTATE';

        $before =~ s{.*/}{};
        is_deeply([ @$first{qw/seg size records/} ],
                  [ $before, -s $names[$i - 1], scalar lines($names[$i - 1]) ],
                  "ROTATE of $before");
    }

    cmp_ok(scalar @names, '>', 5, 'many segments');
    is_deeply([ grep { !/^(?:ROTATE|RECOVERY)$/ } @head ], [],
              'each begins as it should');
    cmp_ok(scalar(grep { $_ eq 'ROTATE' } @head), '>', 3, 'most by ROTATE');
    is_deeply(\@long, [], 'none is much longer than it should be');
    like($out, qr/^signed +@{[ scalar @lines ]}, /m, 'all is signed');

    my @t = map { json_value($_)->{t} } @lines;

    is($t[0], 'OPEN', 'OPEN is the first');
    is($t[-1], 'CLOSE', 'CLOSE is the last');
    is(scalar(grep { /^(?:OPEN|CLOSE)$/ } @t), 2, 'and both once');
    is(scalar(grep { $_ eq 'CONFIG' } @t), 0,
       'a reload of the same configuration is none');

    # readers over segments

    my ($rc, $text) = $t->ctl('audit', 'query', $t->audit(), '--json',
                              '--verdict', 'PERMIT');

    is($rc, 0, 'audit query');
    is(scalar(split /\n/, $text), $permits, 'finds all of them');

    ($rc, $text) = $t->ctl('audit', 'tail', '--json', '-n', 500, $t->audit());
    is_deeply([ split /\n/, $text ], [ @lines[-500 .. -1] ],
              'audit tail goes back over segments');

    ($rc, $text) = $t->ctl('audit', 'prove', $t->audit(), '--seq', 3);
    is($rc, 0, 'audit prove');

    finish();
}


sub by_hand {
    begin('');

    my $audit = $t->audit();

    permitted('a call', call());
    until_true(sub { $t->audit_records('OUTCOME') == 1 });

    my ($code, $out) = $t->ctl('audit', 'rotate', $audit);

    is($code, 0, 'audit rotate');
    like($out, qr/\Aseg-0{15}[45]\.jsonl\n\z/, 'says the name');
    is(scalar segments(), 2, 'which is there');

    ($code, $out) = $t->ctl('audit', 'rotate', $audit);
    is($code, 1, 'a ROTATE alone is not rotated');

    permitted('a call', call());
    is(scalar(grep { /"verdict":"PERMIT"/ } lines((segments())[1])), 1,
       'is recorded in the new segment');

    my $r = json_value(($t->ctl('audit', 'rotate', '--json', $audit))[1]);

    ok($r->{ok} && -s "$audit/$r->{segment}", '--json');

    # a used step stays used: it is read back over segments

    permitted('a step with one use', once());
    $t->ctl_ok('audit', 'rotate', $audit);
    $t->crash();
    $t->start();
    refused('is used after a crash', once(), 409, 'STEP_USED');

    # with the first segment away nothing can be verified, but all goes on

    $t->stop();
    is(($t->audit_verify())[0], 0, 'verify');

    my ($old) = segments();

    rename $old, "$old.away" or die;
    is(($t->audit_verify())[0], 21, 'without the first segment: a gap');
    rename "$old.away", $old or die;

    # logrotate is found as before

    $t->start();
    permitted('a call', call());
    $old = (segments())[-1];
    rename $old, "$old.1" or die;
    is(call()->{why}, 'AUDIT_UNAVAILABLE', 'a segment that was renamed');
    $t->allow_alerts(qr/armoriq/);
    rename "$old.1", $old or die;
    $t->stop();

    finish();
}


sub append_only {
    begin('rotate=64k');
    permitted('a call', call());

    my ($seg) = segments();

    if (system("chattr +a '$seg' 2>/dev/null") != 0) {
        finish();
        plan(skip_all => 'chattr is not permitted');
    }

    push @marked, $seg;

    for (1 .. 200) {
        last if segments() > 1;
        call();
    }

    is(scalar segments(), 2, 'a segment with "chattr +a" is rotated');
    seen();
    permitted('and all goes on', call());
    $t->stop();
    is(($t->audit_verify())[0], 0, 'verify');
    unmark();
    finish();
}


sub old_enough {
    begin('rotate=1g,1s');
    permitted('a call', call());
    sleep 1.1;
    permitted('a call', call());
    cmp_ok(scalar segments(), '>=', 2, 'older than a second: a new segment');
    $t->stop();
    is(($t->audit_verify())[0], 0, 'verify');
    finish();
}


# OPEN, CONFIG, CLOSE

sub events {
    begin('durability=write', workers => 3,
          include => "# first\n", store => 1);

    permitted('a call', call());

    my ($open) = $t->audit_records('OPEN');

    like($open->{inst}, qr/^[0-9a-f]{16}\.\d+$/, 'OPEN: the instance');
    like($open->{version}, qr/^\d+\.\d+\.\d+$/, 'version');
    like($open->{nginx}, qr/^1\.\d+\.\d+$/, 'nginx');
    is($open->{durability}, 'write', 'durability');
    is($open->{config}, digest(), 'hash of the configuration');
    cmp_ok($open->{store}, '>', 0, 'revision of the store');

    $t->reload();
    permitted('after a reload', call());
    is(scalar $t->audit_records('CONFIG'), 0,
       'of the same configuration there is no CONFIG');

    my $before = digest();

    $t->write('more.conf', "# second\n");
    isnt(digest(), $before, 'an included file is another one');
    $t->add_policy({ name => 'more', allow => [ 'x' ] });
    $t->reload();
    until_true(sub { $t->audit_records('CONFIG') > 0 });
    permitted('after another reload', call());

    my @config = $t->audit_records('CONFIG');

    is(scalar @config, 1, 'one CONFIG, of three workers');
    is($config[0]{config}, digest(), 'with the hash of what is read now');
    cmp_ok($config[0]{store}, '>', $open->{store}, 'and the store as it is');
    is_deeply([ sort keys %{ $config[0] } ], [ sort keys %$open ],
              'OPEN and CONFIG have the same members');
    is(scalar $t->audit_records('CLOSE'), 0, 'no CLOSE so far');

    # one that cannot be read changes nothing

    $t->write('more.conf', "nonsense;\n");
    kill 'HUP', $t->master();
    until_true(sub { $t->read('error.log') =~ /unknown directive "nonsense"/ });
    permitted('after a reload that failed', call());
    is(scalar $t->audit_records('CONFIG'), 1, 'no CONFIG');
    $t->allow_alerts(qr/unknown directive "nonsense"/);

    $t->write('more.conf', "# second\n");
    $t->stop();

    my @all = $t->audit_records();

    is($all[-1]{t}, 'CLOSE', 'CLOSE is the last record');
    is($all[-1]{how}, 'quit', 'quit');
    is(scalar(grep { $_->{t} eq 'CLOSE' } @all), 1, 'once');

    $t->start();
    permitted('a call', call());
    $t->stop('TERM');
    @all = $t->audit_records();
    is_deeply([ map { $_->{t} } grep { $_->{t} =~ /^(?:OPEN|CLOSE)$/ } @all ],
              [ qw/OPEN CLOSE OPEN CLOSE/ ], 'again');
    is($all[-1]{how}, 'terminate', 'terminate');

    my ($code, $out) = $t->audit_verify();

    like($code, qr/^(?:0|10)$/, 'verify') or diag($out);
    like($out, qr/^signed +@{[ scalar @all ]}, /m, 'CLOSE is signed');

    finish();
}


# who was killed has not closed anything, and is not waited for

sub killed {
    begin('', workers => 2);
    $t->allow_alerts(qr/exited on signal 9/);

    permitted('a call', call());

    for (1 .. 3) {
        my @old = $t->workers();

        kill 'KILL', $old[0];
        until_true(sub { my @w = $t->workers();
                         @w == 2 && !grep { $_ == $old[0] } @w });
    }

    is(scalar $t->audit_records('OPEN'), 1, 'who is replaced opens nothing');

    until_true(sub { call()->{status} == 200 });
    $t->stop();
    is(($t->audit_records())[-1]{t}, 'CLOSE',
       'CLOSE by the last one, though others were killed');

    $t->start();
    until_true(sub { $t->audit_records('OPEN') == 2 });
    $t->crash();
    is(scalar $t->audit_records('CLOSE'), 1, 'a crash closes nothing');
    $t->start();
    until_true(sub { $t->audit_records('OPEN') == 3 });
    is(scalar $t->audit_records('OPEN'), 3, 'OPEN after it');
    finish();
}


# HEARTBEAT: once for all workers, and signed

sub silence {
    begin('heartbeat=1s checkpoint=1', workers => 3);

    until_true(sub { $t->audit_records('HEARTBEAT') >= 3 });

    my @beats = $t->audit_records('HEARTBEAT');
    my @at = map { /:(\d+):([\d.]+)Z/ ? $1 * 60 + $2 : 0 }
             map { $_->{ts} } @beats[0 .. 2];

    cmp_ok(($at[2] - $at[0] + 3600) % 3600, '>=', 1,
           'a silent log has heartbeats: one a second, not one a worker');
    is(scalar(grep { $_->{idle} < 1 } @beats), 0, 'after a second of silence');

    my $seq = $beats[2]{seq};

    until_true(sub { (split /\n/, $t->read('store/audit/checkpoint'))[1]
                     >= $seq });
    cmp_ok((split /\n/, $t->read('store/audit/checkpoint'))[1], '>=', $seq,
           'they are signed');

    $t->stop();
    is(($t->audit_verify())[0], 0, 'verify');
    finish();

    begin('heartbeat=off');
    is(call()->{status}, 200, 'a call');
    sleep 1.5;
    is(scalar $t->audit_records('HEARTBEAT'), 0, 'heartbeat=off');
    finish();
}


# no room: calls are refused while there is still room for all else

sub full_disk {
    my $dir = small_disk(@_) or return;

    begin('reserve=64k checkpoint=off heartbeat=1s', audit => "$dir/audit",
          slow => 1);
    permitted('a call', call());
    seen();

    my $s = begin_call(rpc('infra.slow', {}), $auth);

    until_true(sub { hits() == 2 });
    fill("$dir/filler");

    my ($served, $refused) = (0);

    for (1 .. 2000) {
        my $r = call();

        if ($r->{status} == 200) {
            $served++;
            next;
        }

        $refused = $r;
        last;
    }

    is($refused->{why}, 'AUDIT_UNAVAILABLE', "no room, after $served calls");
    is($refused->{status}, 503, 'status 503');
    ok($refused->{headers}{'retry-after'}, 'Retry-After');

    my ($seg) = reverse segments();
    my @st = stat $seg;

    cmp_ok($st[12] * 512, '>=', $st[7] + 65536 - 4096,
           'the reserve is still there');

    hits();

    for (1 .. 20) {
        refused('a denial', send_body(rpc('infra.kill', {}), $json . $auth),
                409, 'STEP_NOT_PLANNED');
    }

    is_deeply([ map { my $r = call(); "$r->{status} $r->{why}" } 1 .. 5 ],
              [ ('503 AUDIT_UNAVAILABLE') x 5 ], 'calls are refused');
    is(seen(), 0, 'nothing is executed');

    # all else is recorded, although the disk is full

    $t->write('go', '');
    is(http_parse(drain($s))->{status}, 200, 'a call that had left before');

    until_true(sub { grep { ($_->{tool} || '') eq 'infra.kill' }
                     $t->audit_records('INTENT') });
    until_true(sub { outcome('infra.slow') });
    is(scalar(grep { ($_->{tool} || '') eq 'infra.kill' }
              $t->audit_records('INTENT')), 20, 'denials are in the log');
    is((outcome('infra.slow') || {})->{status}, 'executed',
       'and its outcome');

    until_true(sub { grep { $_->{t} eq 'HEARTBEAT' && $_->{seq} >
                            (state())[0]{seq} } $t->audit_records() });
    ok(scalar $t->audit_records('HEARTBEAT'), 'and heartbeats');

    my @state = state();

    is(scalar @state, 1, 'and how it is, once');
    is($state[0]{state}, 'degraded', 'degraded');
    like($state[0]{why}, qr/No space left/, 'and why');
    is(scalar(() = $t->read('error.log') =~ /\[crit\].*armoriq: calls are/g),
       1, 'in the error log, too, once');

    # room: by itself, also without calls

    unlink "$dir/filler" or die;

    my $start = time();

    until_true(sub { state() == 2 });
    cmp_ok(time() - $start, '<', 5, 'recovers by itself within 5 seconds');
    is((state())[1]{state}, 'ok', 'STATE says so');
    is((state())[1]{refused}, 6, 'and how many calls were refused');
    like($t->read('error.log'),
         qr/\[notice\].*armoriq: records can be written as before, 6 calls/,
         'the error log, too');
    hits();
    permitted('a call', call());

    # until nothing is left

    fill("$dir/filler");
    until_true(sub { call()->{status} != 200 });

    for (1 .. 600) {
        send_body(rpc('infra.kill', { n => 'x' x 200 }), $json . $auth);
        last if $t->read('error.log') =~ /records cannot be written/;
    }

    like($t->read('error.log'), qr/\[crit\].*armoriq: records cannot be/,
         'the reserve has an end, too');
    hits();
    refused('a denial', send_body(rpc('infra.kill', {}), $json . $auth), 409,
            'STEP_NOT_PLANNED');

    unlink "$dir/filler" or die;
    $start = time();
    until_true(sub { (state())[-1]{state} eq 'ok' });
    cmp_ok(time() - $start, '<', 5, 'recovers within 5 seconds');
    is_deeply([ map { $_->{state} } state() ],
              [ qw/degraded ok degraded failed ok/ ], 'all that is recorded');
    hits();
    permitted('a call', call());

    $t->stop();

    my ($code, $out) = $t->audit_verify();

    is($code, 0, 'verify') or diag($out);
    $t->allow_alerts(qr/armoriq: (?:calls are refused|records cannot be)/);
    finish();
    unmount($dir);
}


# the next segment is begun when there is room for it

sub full_rotate {
    my $dir = small_disk('tmpfs') or return;

    begin('rotate=64k reserve=1m checkpoint=off', audit => "$dir/audit");
    permitted('a call', call());

    # the reserve of this segment is there, that of the next one cannot be

    sleep 0.2;
    call() for 1 .. 3;
    fill("$dir/filler", 100);

    my ($n, $r) = (0);

    for (1 .. 400) {
        $r = call();
        $n++;
        last if $r->{status} != 200;
    }

    is($r->{why}, 'AUDIT_UNAVAILABLE', "no room for a segment: $n calls");
    is(scalar segments(), 1, 'the old one stays');
    hits();
    refused('a denial', send_body(rpc('infra.kill', {}), $json . $auth), 409,
            'STEP_NOT_PLANNED');
    until_true(sub { grep { ($_->{tool} || '') eq 'infra.kill' }
                     $t->audit_records('INTENT') });
    is(scalar segments(), 1, 'and takes it');

    unlink "$dir/filler" or die;
    until_true(sub { call()->{status} == 200 });
    is(scalar segments(), 2, 'room: the next one is begun');

    $t->stop();
    is(($t->audit_verify())[0], 0, 'verify');
    $t->allow_alerts(qr/armoriq: calls are refused/);
    finish();
    unmount($dir);
}


# what is done over and over

sub begin {
    my ($params, %o) = @_;

    $t = ArmorIQ->new();
    $t->init_store(audit => $o{audit});
    $t->write('more.conf', $o{include} || '');

    my ($dir, $store, $audit) = ($t->dir(), $t->store(), $t->audit());

    $t->upstream(answer => sub {
        my ($req) = @_;

        return if $req->{body} !~ /infra\.slow/;

        until_true(sub { -e "$dir/go" }, 30);

        return;
    });

    $t->run(<<"EOF", workers => $o{workers} || 1);
armoriq_store $store;
armoriq_audit $audit $params;
armoriq_zone 8m;
include $dir/more.conf;

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
        proxy_next_upstream off;
    }
}
EOF

    my $token = $t->request_token(seconds => 3600, plan => { goal => 'x',
        steps => [
            { action => 'infra.scale', mcp => 'infra-mcp',
              max_uses => 100000 },
            { action => 'infra.slow', mcp => 'infra-mcp' },
            { action => 'infra.restart', mcp => 'infra-mcp' },
        ] });

    ok($token->{success}, 'token') or die 'no token';

    $auth = "Authorization: Bearer $token->{jwt_token}\r\n";

    rows($t);
}

sub finish {
    $t->finish();
    undef $t;
}

sub call {
    my ($n) = @_;

    return send_body(rpc('infra.scale', { n => defined $n ? $n : ++$number }),
                     $json . $auth);
}

sub once { send_body(rpc('infra.restart', {}), $json . $auth) }

sub segments {
    my @names = glob $t->audit() . '/seg-*.jsonl';

    return @names;
}

sub lines {
    my @lines;

    for my $file (@_ ? @_ : segments()) {
        open my $f, '<:raw', $file or next;
        push @lines, map { s/\n\z//r } grep { /^\{.*\n\z/ } <$f>;
    }

    return @lines;
}

sub state { $t->audit_records('STATE') }

sub outcome {
    my ($tool) = @_;
    my ($intent) = grep { ($_->{tool} || '') eq $tool }
                   $t->audit_records('INTENT') or return;

    return (grep { $_->{intent}{seq} == $intent->{seq} }
            $t->audit_records('OUTCOME'))[0];
}

# as docs/audit-format.md says it

sub digest {
    my $dir = $t->dir();
    my $sum = qx{sha256sum '$dir/nginx.conf' '$dir/more.conf' | sha256sum};

    return (split / /, $sum)[0];
}

sub until_true {
    my ($what, $seconds) = @_;
    my $end = time() + ($seconds || 10);

    until ($what->()) {
        return 0 if time() > $end;
        sleep 0.05;
    }

    return 1;
}

# a file system of its own, of a few megabytes

sub small_disk {
    my ($type) = @_;
    my $dir = ArmorIQ->new()->dir() . '-full';
    my $mount = "mount -t tmpfs -o size=4m none '$dir'";

    $mount = "truncate -s 8M '$dir.img' && mkfs.ext4 -q -F -m 0 '$dir.img'"
             . " && mount -o loop '$dir.img' '$dir'"
        if $type eq 'ext4';

    mkdir $dir or die "$dir: $!";

    if ($> != 0 || system("($mount) >/dev/null 2>&1") != 0) {
        rmdir $dir;
        unlink "$dir.img";
        plan(skip_all => "no $type can be mounted");
        return;
    }

    push @mounted, $dir;

    return $dir;
}

# all but so many kilobytes

sub fill {
    my ($file, $but) = @_;

    open my $f, '>', $file or die "$file: $!";

    # ext4 gives what was deleted away again when its journal is written

    for (1 .. 20) {
        my $n = 0;

        $n++ while syswrite $f, 'x' x 4096;
        last if $_ > 2 && !$n;

        $f->sync();
        sleep 0.05;
    }

    truncate $f, (-s $f) - $but * 1024 if $but;
}

sub unmount {
    my ($dir) = @_;

    system('umount', $dir) == 0 or diag("umount $dir");
    @mounted = grep { $_ ne $dir } @mounted;
    rmdir $dir;
    unlink "$dir.img";
}

sub unmark {
    system('chattr', '-a', $_) for splice @marked;
}

END {
    if ($$ == $owner) {
        local $?;

        unmark();
        undef $t;
        unmount($_) for @mounted;
    }
}
