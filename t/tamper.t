#!/usr/bin/perl

# Guards what is signed: of a planned call that would be served, every byte of
# the token, the proof, the path, the digest, the plan and the parameters is
# changed, one at a time, and each time the call must be refused for the
# reason that the changed part has.  A byte that can be changed for 200 is a
# byte that nobody signed; one that is refused for another reason is held by
# a check that was not meant to hold it.

use strict;
use warnings;

use Digest::SHA qw/sha256_hex/;
use FindBin;
use IO::Socket::INET;
use Test::More;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


my %status = (
    (map { $_ => 400 } qw/JSON_INVALID INVOKE_INVALID/),
    (map { $_ => 401 } qw/KEY_INVALID TOKEN_MALFORMED TOKEN_ALGORITHM
                          TOKEN_TYPE TOKEN_HEADER TOKEN_KEY TOKEN_OWNER
                          TOKEN_SIGNATURE TOKEN_CLAIMS/),
    (map { $_ => 409 } qw/PLAN_MISMATCH PATH_INVALID DIGEST_MISMATCH
                          PROOF_INVALID STEP_NOT_PLANNED STEP_SERVER
                          STEP_PARAMS STEP_USED/),
);

my $t = ArmorIQ->new();
my $key = $t->init_store();

$t->upstream();

$t->run(<<'EOF');
%%ARMORIQ%%
keepalive_requests 100000;

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;

    location / { armoriq_api on; }
    location = /invoke { armoriq on; armoriq_invoke on; }

    location = /mcp {
        armoriq on;
        armoriq_mcp infra-mcp;
        proxy_pass http://infra/mcp;
    }
}
EOF

my $plan = { goal => 'Restore payments', steps => [
    { action => 'infra.restart', mcp => 'infra-mcp',
      params => { service_id => 'payments', wait => 30 } },
    { action => 'infra.list', mcp => 'infra-mcp', params => {} },
    { action => 'alerts.list', mcp => 'infra-mcp', max_uses => 3 },
] };

my $issued = $t->request_token(plan => $plan, seconds => 3600,
    policy => { allow => [ 'infra-mcp/*', '*' ], deny => [ 'x/*' ] });

ok($issued->{success}, 'token') or BAIL_OUT('no token');

# what the call is made of; every copy of a part is changed alike

my %part = (
    key => $key,
    mcp => 'infra-mcp',
    action => 'infra.restart',
    params => json_text($plan->{steps}[0]{params}),
    plan => json_text($plan),
    token => json_text($issued->{token}),
    hash => $issued->{plan_hash},
    path => '/steps/[0]/action',
    digest => sha256_hex('"infra.restart"'),
    proof => json_text($issued->{step_proofs}[0]),
);

my $body = '{"mcp":"{mcp}","action":"{action}","tool":"{action}",'
    . '"params":{params},"arguments":{params},"intent_token":{"plan":{plan},'
    . '"token":{token},"plan_hash":"{hash}","merkle_root":"{hash}",'
    . '"step_proofs":' . json_text($issued->{step_proofs}) . '},'
    . '"plan":{plan},"token":{token},"csrg_token":{token}}';

my $headers = "X-API-Key: {key}\r\nX-CSRG-Path: {path}\r\n"
    . "X-CSRG-Value-Digest: {digest}\r\nX-CSRG-Proof: {proof}\r\n";

my $sock;
my ($tried, $failed) = (0, 0);


# the IAP object: what each value and each name is checked by first

my %value = (
    signature => 'TOKEN_SIGNATURE',
    public_key => 'TOKEN_KEY',
    version => 'TOKEN_TYPE',
    identity => 'TOKEN_CLAIMS',
    plan_hash => 'TOKEN_CLAIMS',            # identity is a hash of these
    'policy/global/metadata/sub' => 'TOKEN_CLAIMS',
    'policy/global/metadata/agent' => 'TOKEN_CLAIMS',
    'policy/global/metadata/context' => 'TOKEN_CLAIMS',
    'policy/global/metadata/org' => 'TOKEN_OWNER',      # the key has one
);

my %name = (
    signature => 'TOKEN_MALFORMED',
    version => 'TOKEN_TYPE',
    (map { $_ => 'TOKEN_CLAIMS' } qw{
        public_key identity plan_hash issued_at expires_at policy
        policy/global policy/global/metadata policy/global/metadata/org
        policy/global/metadata/jti policy/global/metadata/steps
        policy/global/metadata/sub policy/global/metadata/agent
    }),
);

my %met;

walk('token', sub {
    my ($kind, $path) = @_;

    $met{$path}++ if $kind eq 'value';

    return $kind eq 'name' ? $name{$path} || 'TOKEN_SIGNATURE'
         : $value{$path} || 'TOKEN_SIGNATURE';
});

is_deeply([ grep { !$met{$_} } keys %value ], [],
          'all of these were in the token');
ok($met{$_}, "$_ as well") for qw{issued_at expires_at
    policy/global/metadata/jti policy/global/metadata/key
    policy/global/metadata/steps policy/global/metadata/allow/1
    policy/global/metadata/deny/0};

walk('plan', sub { 'PLAN_MISMATCH' });
walk('params', sub { 'STEP_PARAMS' });


# headers and names: no JSON, or JSON that is in a header

bytes('hash', sub { 'PLAN_MISMATCH' });
bytes('mcp', sub { 'STEP_SERVER' });
bytes('action', sub { 'DIGEST_MISMATCH' });
bytes('digest', sub { 'DIGEST_MISMATCH' });
bytes('proof', sub { 'PROOF_INVALID' });
bytes('key', sub { 'KEY_INVALID' });

# another index is a step that the proof is not for, or no step at all

bytes('path', sub {
    my ($path) = @_;

    return $path =~ m{^/steps/\[[12]\]/action$} ? 'PROOF_INVALID'
                                                 : 'PATH_INVALID';
});

{
    local $part{path} = '/steps/[1]/action';
    local $part{proof} = json_text($issued->{step_proofs}[1]);

    attempt('the proof of another step', invoke(), 'PATH_INVALID');
}

{
    local $part{action} = 'infra.list';
    local $part{digest} = sha256_hex('"infra.list"');

    attempt('another action of the plan', invoke(), 'PATH_INVALID');

    local $part{action} = 'infra.scale';
    local $part{digest} = sha256_hex('"infra.scale"');

    attempt('an action that is not in it', invoke(), 'PATH_INVALID');
}


# one copy alone

for my $name (qw/token plan params action/) {
    my $n = () = $body =~ /\Q{$name}\E/g;

    for my $copy (1 .. $n) {
        my $i = 0;
        my $other = $name eq 'action' ? 'infra.list'
                  : $part{$name} =~ s/[a-z0-8](?=")/chr(1 + ord $&)/er;

        my $changed = $body =~ s/\Q{$name}\E/++$i == $copy ? $other : $&/ger;

        attempt("copy $copy of $name", invoke($changed),
                'INVOKE_INVALID');
    }
}


# the JWS of the same token, on the native location

my $jws = $issued->{jwt_token};
my @alphabet = ('A' .. 'Z', 'a' .. 'z', 0 .. 9, '-', '_');
my %index = map { $alphabet[$_] => $_ } 0 .. 63;
my ($dot1, $dot2) = (index($jws, '.'), rindex $jws, '.');

my %jws = (
    header => [ qw/TOKEN_MALFORMED TOKEN_HEADER TOKEN_ALGORITHM TOKEN_TYPE
                   TOKEN_KEY/ ],
    payload => [ qw/TOKEN_MALFORMED TOKEN_CLAIMS TOKEN_KEY
                    TOKEN_SIGNATURE/ ],
    signature => [ 'TOKEN_SIGNATURE' ],
);

my %seen;

for my $i (0 .. length($jws) - 1) {
    my $old = substr $jws, $i, 1;
    my $where = $i < $dot1 ? 'header' : $i < $dot2 ? 'payload' : 'signature';
    my @allowed = @{ $jws{$where} };

    # of 64 bytes in 86 characters, four bits of the last one are unused

    @allowed = 'TOKEN_MALFORMED'
        if $i == length($jws) - 1 || $old eq '.';

    my @new = $old eq '.' ? qw/A -/
            : map { $alphabet[($index{$old} + $_) % 64] } 1, 32;

    for my $new (@new) {
        next if $i == length($jws) - 1 && $index{$new} % 16 == 0;

        my $r = native(change($jws, $i, $new));

        attempt("JWS, byte $i: $old to $new", $r, @allowed);
        $seen{$where}{$r->{why}}++;
    }

    attempt("JWS, byte $i: $old to *", native(change($jws, $i, '*')),
            'TOKEN_MALFORMED');
}

# had one of these never been met, the walk would not have come there

is_deeply([ sort keys %{ $seen{header} } ], [ sort @{ $jws{header} } ],
          'every reason that a header can have');
is_deeply([ sort keys %{ $seen{payload} } ], [ sort @{ $jws{payload} } ],
          'every reason that a payload can have');

for my $short (1, 2, 43, 86, 87) {
    attempt("JWS without its last $short", native(substr $jws, 0, -$short),
            'TOKEN_MALFORMED');
}


is($failed, 0, "all of $tried changes are refused, for their reason");
cmp_ok($tried, '>', 4000, 'which are many');
is($t->hit_count(), 0, 'the upstream has seen nothing of them');

my $r = invoke();

is($r->{status}, 200, 'the call as it was planned') or diag($r->{raw});
is($t->calls(), 1, 'is executed once');
is_deeply($t->last_hit()->{json}{params}{arguments},
          $plan->{steps}[0]{params}, 'as it was planned');

attempt('the same again', invoke(), 'STEP_USED');
is($t->calls(), 1, 'is not');

$r = native($jws);

is($r->{status}, 200, 'the native call as it was planned') or diag($r->{raw});
is($t->calls(), 2, 'is executed once');

attempt('the same again', native($jws), 'STEP_USED');
is($t->calls(), 2, 'is not');
is($failed, 0, 'for that reason');

my ($code, $out) = $t->audit_verify();

is($code, 0, 'armoriqctl audit verify') or diag($out);

my @denied = grep { $_->{verdict} eq 'DENY' } $t->audit_records('INTENT');

is(scalar @denied, $tried, 'every one of them is in the log');

$t->done_testing();


# Every byte of a part that is JSON.  $expect gets 'name' or 'value' and the
# path of the member, and gives the reason; what breaks the text as JSON is
# refused as such.

sub walk {
    my ($name, $expect) = @_;
    my $text = $part{$name};
    my @marks = marks(json_value($text), '');

    is(join('', map { $_->[0] } @marks), $text, "$name is all there");

    my $before = $failed;
    my $i = 0;

    for my $mark (@marks) {
        my ($piece, $kind, $path) = @$mark;

        for my $old (split //, $piece) {

            if ($kind ne 'mark') {
                my $new = sibling($old);
                local $part{$name} = change($text, $i, $new);

                attempt("$name, byte $i ($kind of $path): $old to $new",
                        invoke(), $expect->($kind, $path));
            }

            # a control character in a string, a letter anywhere else

            local $part{$name} = change($text, $i,
                $kind eq 'mark' || $mark->[3] ? 'x' : "\x01");

            attempt("$name, byte $i ($kind of $path): broken", invoke(),
                    'JSON_INVALID');
            $i++;
        }
    }

    is($failed, $before, "every byte of $name");
}

# every byte of one that is none

sub bytes {
    my ($name, $expect) = @_;
    my $text = $part{$name};
    my $before = $failed;

    for my $i (0 .. length($text) - 1) {
        my $old = substr $text, $i, 1;

        for my $new (sibling($old), '!') {
            local $part{$name} = change($text, $i, $new);

            attempt("$name, byte $i: $old to $new", invoke(),
                    $expect->($part{$name}));
        }
    }

    is($failed, $before, "every byte of $name");
}

# the canonical text in pieces: [ text, mark|name|value, path, number? ]

sub marks {
    my ($v, $path) = @_;
    my @out;

    if (ref $v eq 'HASH') {
        for my $k (sort keys %$v) {
            my $p = $path eq '' ? $k : "$path/$k";

            push @out, [ @out ? ',"' : '{"', 'mark', $p ],
                [ $k, 'name', $p ], [ '":', 'mark', $p ], marks($v->{$k}, $p);
        }

        push @out, [ '{', 'mark', $path ] if !@out;

        return @out, [ '}', 'mark', $path ];
    }

    if (ref $v eq 'ARRAY') {
        for my $i (0 .. $#$v) {
            my $p = $path eq '' ? $i : "$path/$i";

            push @out, [ ',', 'mark', $p ] if $i;
            push @out, marks($v->[$i], $p);
        }

        return [ '[', 'mark', $path ], @out, [ ']', 'mark', $path ];
    }

    return [ $v, 'value', $path, 1 ] if json_text($v) !~ /^"/;

    return [ '"', 'mark', $path ], [ $v, 'value', $path ],
           [ '"', 'mark', $path ];
}

# another byte of the same kind

sub sibling {
    my ($c) = @_;

    return ($c % 9) + 1 if $c =~ /\d/;
    return chr(ord('a') + (ord($c) - ord('a') + 1) % 6) if $c =~ /[a-f]/;
    return chr(ord($c) + 1) if $c =~ /[g-yA-Y]/;
    return 'a' if $c =~ /[zZ]/;

    return $c eq '-' ? '_' : '-';
}

sub change {
    my ($text, $i, $new) = @_;

    substr $text, $i, 1, $new;

    return $text;
}

# thousands of rows would hide the one that failed: these speak up if they do

sub attempt {
    my ($what, $r, @reasons) = @_;

    $tried++;

    return if grep { $r->{why} eq $_ && $r->{status} == $status{$_} }
              @reasons;

    $failed++;
    diag("$what: $r->{status} $r->{why}, not @reasons") if $failed <= 20;
}

sub invoke {
    my ($text) = @_;
    my $h = $headers;

    $text = $body if !defined $text;
    s/\{(\w+)\}/exists $part{$1} ? $part{$1} : $&/ge for $text, $h;

    return request('/invoke', $h, $text);
}

sub native {
    my ($token) = @_;

    return request('/mcp', "Authorization: Bearer $token\r\n",
        '{"jsonrpc":"2.0","id":1,"method":"tools/call",'
        . '"params":{"name":"infra.list","arguments":{}}}');
}

# over one connection, as long as it lasts

sub request {
    my ($path, $h, $text) = @_;

    for (1, 2) {
        $sock ||= IO::Socket::INET->new(
            PeerAddr => '127.0.0.1:' . $t->port(0), Timeout => 5)
            or die "connect: $!";

        local $SIG{PIPE} = 'IGNORE';

        my $buf = '';
        my $done = syswrite $sock, "POST $path HTTP/1.1\r\nHost: x\r\n"
            . "Content-Type: application/json\r\n"
            . "Accept: application/json, text/event-stream\r\n$h"
            . 'Content-Length: ' . length($text) . "\r\n\r\n$text";

        while ($done && sysread $sock, $buf, 65536, length $buf) {
            next if $buf !~ /\r\n\r\n/;

            my ($head, $rest) = split /\r\n\r\n/, $buf, 2;

            if ($head =~ /^content-length: (\d+)/mi) {
                next if length $rest < $1;
                undef $sock if $head =~ /^connection: close/mi;
                return http_parse($buf);
            }

            if ($head =~ /^transfer-encoding: chunked/mi) {
                next if $rest !~ /(?:^|\r\n)0\r\n\r\n\z/;
                undef $sock if $head =~ /^connection: close/mi;
                return http_parse($buf);
            }
        }

        undef $sock;

        return http_parse($buf) if $buf ne '';
    }

    return http_parse('');
}
