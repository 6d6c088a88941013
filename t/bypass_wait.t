#!/usr/bin/perl

# Guards the rows of the bypass matrix that are about time: B55 a body that
# changes after it was judged, B61 a permit that is withdrawn while the call
# waits for its record, B62 a client that has gone by then.  The disk is made
# slow, so that there is time in which to do it.
#
# At the end the same rows are sent with "armoriq off".

use strict;
use warnings;

use FindBin;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::Bypass;


my $t = ArmorIQ->new(ports => 2);

my $old = $ENV{TEST_NGINX_PRELOAD};

$ENV{TEST_NGINX_PRELOAD} = join ':', grep { $_ } $old, shim();

my @names = qw/mcp file ep prot/;
my @store = ('--store', $t->store());

my $key = $t->init_store(mcps => [ map { "mcp-$_" } @names ],
                         policy => undef);

$t->upstream();

my $locations = <<'EOF';
location /mcp  { armoriq on; armoriq_mcp mcp-mcp; proxy_pass http://g; }
location /MCP  { proxy_pass http://g; }
location /file { armoriq on; armoriq_mcp mcp-file;
                 client_body_in_file_only clean; proxy_pass http://g; }
location /ep   { armoriq on; armoriq_mcp mcp-ep; client_max_body_size 9;
                 error_page 400 413 = @prot; proxy_pass http://g; }
location @prot { armoriq on; proxy_pass http://g; }
EOF

my $lint = has_lint($t) ? 'armoriq_lint warn;' : '';

my $conf = <<"EOF";
%%ARMORIQ%%
$lint
proxy_read_timeout 8s;
upstream g { server %%UPSTREAM%%; armoriq_guard; }
server { listen 127.0.0.1:%%PORT0%%; $locations }
server { listen 127.0.0.1:%%PORT1%% http2; $locations }
EOF

$t->run($conf);
policy('all', [ '*' ]);

my ($jws) = token('alice');

my $b = ArmorIQ::Bypass->new($t, 'bypass_wait', jws => $jws, key => $key);

my $good = call('call');
my $number = 0;
my ($user, $jti, $id);


# B55: another body than was judged

$b->add(55, 'the temporary file is written over', [ 200, '', 1 ],
        during(\&overwrite, uri => '/file'), control => 1, check => sub {
            is($t->last_hit()->{body}, $good, "$_[1]: what was judged");
        });
$b->add(55, "a cut off body behind error_page, $_->[0]", $_->[1],
        uri => '/ep', who => $_->[0])
    for [ 'nobody', [ 401, 'IDENTITY_MISSING', 0 ] ],
        [ 'good', [ 400, undef, 0 ] ];
$b->add(55, 'bad chunks behind error_page', [ 400, undef, 0 ], raw => sub {
            h1_head($_[0], '/ep') . "Transfer-Encoding: chunked\r\n\r\n"
            . "5\r\n{\"a\":\r\nxx\r\n" });


# B61: no longer allowed when the record is there

for ([ 'the token', [ 401, 'TOKEN_REVOKED', 0 ],
       sub { $t->ctl_ok('token', 'revoke', @store, '--org', 'example',
                        '--force', $jti) } ],
     [ 'the API key of the token', [ 401, 'KEY_INVALID', 0 ],
       sub { $t->ctl_ok('key', 'remove', @store, '--org', 'example', $id) } ],
     [ 'the user', [ '401|403', undef, 0 ],
       sub { $t->ctl_ok('user', 'remove', @store, '--org', 'example',
                        $user) } ],
     [ 'the agent', [ '401|403', undef, 0 ],
       sub { $t->ctl_ok('agent', 'remove', @store, '--org', 'example',
                        "agent-$user") } ],
     [ 'the policy', [ '400|403', undef, 0 ],
       sub { $t->ctl_ok('policy', 'remove', @store, '--org', 'example',
                        'all') } ],
     [ 'the policy, by one before it', [ '400|403', undef, 0 ],
       sub { policy('no', undef) } ],
     [ 'the issuer', [ 401, 'TOKEN_KEY', 0 ],
       sub { $t->ctl_ok('org', 'rekey', @store, '--retire', 'example') } ])
{
    my ($name, $want, $act) = @$_;

    $b->add(61, "$name is withdrawn meanwhile", $want, during($act),
            before => sub { anew() }, check => \&revoked);
}

$b->add(61, 'nothing that matters is changed meanwhile', [ 200, '', 1 ],
        during(sub { $t->ctl_ok('user', 'add', @store, '--org', 'example',
                                "new-" . ++$number) }),
        before => sub { anew() }, control => 1);


# B62: the client has gone when the record is there

my $once = call('once');

$b->add(62, 'the connection is closed', [ 0, '', 0 ],
        during(undef, body => $once), before => sub { anew() }, wait => 0.9,
        check => \&not_sent);
$b->add(62, 'RST_STREAM', [ 0, '', 0 ],
        during(undef, body => $once, rst => 1), before => sub { anew() },
        v => [ 2 ], wait => 0.9, check => \&not_sent);


$b->drive();
$b->finish($conf, 3);
$t->done_testing();


# a user, an agent, a key and a token of their own, on a disk that is fast

sub anew {
    $t->write('slow', 0);

    $t->ctl('policy', 'remove', @store, '--org', 'example', $_)
        for qw/no all/;
    policy('all', [ '*' ]);

    ($jws, $jti, $id) = token('user-' . ++$number);
    $user = "user-$number";
    $b->{jws} = $jws;
}

sub policy {
    my ($name, $allow) = @_;

    $t->add_policy({ name => $name, priority => $allow ? 1 : 9,
                     $allow ? (allow => $allow) : (deny => [ '*' ]) });
}

sub token {
    my ($who) = @_;

    $t->ctl_ok($_->[0], 'add', @store, '--org', 'example', $_->[1])
        for [ 'user', $who ], [ 'agent', "agent-$who" ];

    my $made = json_value($t->ctl_ok('key', 'add', @store, '--org',
        'example', '--user', $who, '--agent', "agent-$who", '--json'));

    my $issued = json_value($t->ctl_ok('token', 'issue', @store, '--org',
        'example', '--user', $who, '--agent', "agent-$who", '--json',
        '--expires', 3600, '--key', $made->{id}, '--plan',
        $t->write('plan.json', json_text({ goal => 'wait', steps => [
            (map { { action => 'call', mcp => "mcp-$_", max_uses => 1000 } }
             @names),
            { action => 'once', mcp => 'mcp-mcp' } ] }))));

    return ($issued->{jws}, $issued->{jti}, $made->{id});
}

# Sends, waits until the record is being written, acts, and reads the answer;
# without an act it goes.

sub during {
    my ($act, %o) = @_;

    return %o, v => $o{rst} ? [ 2 ] : [ 1, 2 ], raw => sub {
        my ($self, $v) = @_;
        my $body = $o{body} || $good;

        $t->write('slow', 700);

        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:'
                                                  . $t->port(0))
            or die "connect: $!";

        syswrite $s, h1_head($self, $o{uri} || '/mcp')
            . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
        sleep 0.25;

        if (!$act) {
            close $s;
            return http_parse('');
        }

        $act->();

        my $buf = '';
        my $sel = IO::Select->new($s);

        while ($sel->can_read(5)) {
            sysread $s, $buf, 65536, length $buf or last;
        }

        return http_parse($buf);

    }, h2 => sub {
        my ($self, $v) = @_;

        $t->write('slow', 700);

        return h2_open($t->port(1), [ [ ':method', 'POST' ],
            [ ':scheme', 'http' ], [ ':path', $o{uri} || '/mcp' ],
            [ ':authority', 'a' ], [ 'content-type', 'application/json' ],
            [ 'authorization', "Bearer $self->{jws}" ] ],
            [ [ 0, 1, $o{body} || $good ], [ 'do', sub {
                sleep 0.2;
                $act->() if $act;
              } ], $o{rst} ? [ 3, 0, pack 'N', 8 ] : () ],
            gone => !$act && !$o{rst}, timeout => $o{rst} ? 0.3 : 5);
    };
}

# whoever may write there: other bytes, as many

sub overwrite {
    my $n = 0;

    for my $file (glob $t->dir() . '/tmp_client_body/*') {
        open my $f, '+<:raw', $file or next;
        print $f $good =~ s/call"/evil"/gr;
        $n++;
    }

    is($n, 1, 'B55 there is a file to write over');
}

# the record says PERMIT, and what became of it is another one

sub revoked {
    my ($r, $name) = @_;

    is(outcome(), 'revoked', "$name: OUTCOME");
}

sub outcome {
    my ($last, $intent);

    $t->write('slow', 0);

    for (1 .. 200) {
        ($intent) = grep { ($_->{user} || '') eq $user
                           && $_->{verdict} eq 'PERMIT' }
                    $t->audit_records('INTENT');
        ($last) = grep { $intent && $_->{intent}{seq} == $intent->{seq} }
                  $t->audit_records('OUTCOME');
        last if $last;
        sleep 0.02;
    }

    return $last ? $last->{status} : 'no record';
}

# its use is given back, and the log says that it was not executed

sub not_sent {
    my ($r, $name, $self) = @_;

    like(outcome(), qr/^(?:not_sent|client_abort)$/, "$name: OUTCOME");

    my $again = $self->send({ body => $once }, 1);

    is($again->{status}, 200, "$name: the step was not used");
    $self->count();
}

# a library that makes the disk slow, by as many milliseconds as a file says

sub shim {
    my $dir = $t->dir();
    my $c = $t->write('shim.c', <<'EOF');
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static int slowly(const char *name, int fd)
{
    int   ms = 0;
    FILE *f = fopen(DIR "/slow", "r");

    if (f != NULL) {
        if (fscanf(f, "%d", &ms) != 1) {
            ms = 0;
        }

        fclose(f);
    }

    usleep(ms * 1000);

    return ((int (*)(int)) dlsym(RTLD_NEXT, name))(fd);
}

int fdatasync(int fd) { return slowly("fdatasync", fd); }

int fsync(int fd) { return slowly("fsync", fd); }
EOF

    plan(skip_all => 'no C compiler')
        if system("cc -shared -fPIC -DDIR='\"$dir\"' -o '$dir/shim.so' '$c'"
                  . " -ldl 2>'$dir/shim.err'") != 0;

    return "$dir/shim.so";
}
