package ArmorIQ::Disk;

# An nginx whose disk can be made worse while it runs, an upstream that looks
# into the log when a call comes, and what must hold afterwards.
#
#     shim() or return;               # or skips: no C compiler
#     begin();                        # $t, and a token in $auth
#     switch('slow', 700);            # t/shim/disk.c: what there is
#     call(), seen();
#     switch('slow', 0);
#     recovers(), verified();
#     finish();

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use Test::More;
use Time::HiRes qw/sleep time/;

use ArmorIQ;
use ArmorIQ::Rows;

our @EXPORT = qw/$t $key $auth shim begin finish switch body call witness
                 lines recovers verified mounted unmount fill/;

our ($t, $key, $auth);

my $json = "Content-Type: application/json\r\n";
my $source = File::Spec->rel2abs(dirname(__FILE__) . '/../../shim/disk.c');
my @mounted;
my $owner = $$;
my $number = 0;
my $preload = $ENV{TEST_NGINX_PRELOAD};


# an nginx, a token, and an upstream that looks into the log

sub begin {
    my (%o) = @_;

    $t ||= ArmorIQ->new();
    $key = $t->init_store(mcps => [ 'infra-mcp', 'small-mcp' ], %o);

    my ($audit, $file) = ($t->audit(), $t->dir() . '/witness');

    $t->salted('body', '');

    $t->upstream(answer => sub {
        my ($req) = @_;
        my $h = $t->salted('body', $req->{body});
        my $found = grep { index($_, "\"req_h\":\"$h\"") > 0
                           && index($_, '"verdict":"PERMIT"') > 0 }
                    lines($audit);

        open my $f, '>>', $file or die;
        syswrite $f, $found ? "1\n" : "0\n";

        return;
    });

    $t->run(<<'EOF', events => 'worker_connections 4096;');
%%ARMORIQ%%

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }
    location = /plain { return 200; }
    location = /proof { armoriq_audit_proof on; }
    location = /invoke { armoriq on; armoriq_invoke on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }

    location = /small {
        armoriq on;
        armoriq_mcp small-mcp;
        armoriq_max_body 1k;
        proxy_pass http://infra/mcp;
    }
}
EOF

    my $token = $t->request_token(seconds => 3600, plan => { goal => 'x',
        steps => [
            { action => 'infra.list', mcp => 'infra-mcp', params => {} },
            { action => 'infra.scale', mcp => 'infra-mcp',
              max_uses => 100000 },
            map { { action => 'infra.restart', mcp => 'infra-mcp',
                    params => { n => $_ } } } 1 .. 3,
        ] });

    ok($token->{success}, 'token') or die 'no token';

    $auth = "Authorization: Bearer $token->{jwt_token}\r\n";

    rows($t);
}

sub finish {
    $t->finish();
    undef $t;
}

# no two bodies are the same

sub body { rpc('infra.scale', { n => ++$number }) }

sub call { send_body(body(), $json . $auth) }

# how many calls found their record when they came, and how many did not

sub witness {
    my $text = $t->read('witness');

    return ($text =~ tr/1//, $text =~ tr/0//);
}

sub lines {
    my $dir = @_ ? $_[0] : $t->audit();
    my @lines;

    for my $file (sort glob "$dir/seg-*.jsonl") {
        open my $f, '<:raw', $file or next;
        push @lines, map { s/\n\z//r } grep { /^\{.*\n\z/ } <$f>;
    }

    return @lines;
}

sub recovers {
    my ($r, $start) = (undef, time());

    for (1 .. 60) {
        $r = call();
        last if $r->{status} == 200;
        sleep 0.1;
    }

    permitted('recovers by itself', $r);
    cmp_ok(time() - $start, '<', 5, 'within 5 seconds');
}

sub verified {
    my ($code, $out) = $t->audit_verify();

    like($code, qr/^(?:0|10)$/, 'audit verify') or diag($out);
}


# a library that makes the disk worse while a file of that name is there

sub shim {
    $t = ArmorIQ->new();

    my $dir = $t->dir();

    # of that nginx alone

    my @cmd = ($ENV{CC} || 'cc', qw/-std=c11 -D_GNU_SOURCE -O2 -W -Wall
               -Werror -shared -fPIC/, "-DDIR=\"$dir\"", '-o',
               "$dir/shim.so", $source, '-ldl');

    if (system("command -v $cmd[0] >/dev/null 2>&1") != 0) {
        plan(skip_all => 'no C compiler');
    }

    system(@cmd) == 0 or die "@cmd failed\n";

    $t->{shim} = 1;
    $ENV{TEST_NGINX_PRELOAD} = join ':', grep { $_ } $preload,
        "$dir/shim.so";

    return 1;
}

sub switch {
    my ($name, $value) = @_;

    $t->write($name, $value);
}

sub fill {
    my ($file) = @_;

    open my $f, '>:raw', $file or die "$file: $!";
    while (syswrite $f, 'x' x 1024) { }
    close $f;
}

# what is to be unmounted in the end

sub mounted { push @mounted, @_ }

sub unmount {
    my ($dir) = @_;

    system("umount -l '$dir'") if grep { $_ eq $dir } @mounted;
    @mounted = grep { $_ ne $dir } @mounted;
}

END {
    if ($$ == $owner) {
        my $code = $?;

        unmount($_) for @mounted;
        $? = $code;
    }
}

1;
