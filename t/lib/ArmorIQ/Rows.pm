package ArmorIQ::Rows;

# Tests that are tables: a row sends one request and says what must come back
# and whether the upstream may have seen it.
#
#     use ArmorIQ::Rows;
#
#     rows($t);                                   # an ArmorIQ object
#     permitted('name', send_body($body, $headers));         # 200, one hit
#     refused('name', send_body(...), 409, 'STEP_USED');     # no hit
#     unreached('name', send_body(...), '400|501');          # nginx or we

use strict;
use warnings;

use Exporter 'import';
use IO::Select;
use IO::Socket::INET;
use Socket qw/IPPROTO_TCP TCP_NODELAY/;
use Test::More ();

use ArmorIQ;

our @EXPORT = qw/rows hits seen permitted refused unreached invoke_refused
                 send_body send_raw chunked connected begin_call drain rpc
                 with_args label/;

my $t;
my $hits = 0;


sub rows {
    ($t) = @_;
    $hits = $t->hit_count();
}

# requests that the upstream has seen so far

sub hits { $hits = $t->hit_count() }

# and since it was last asked for

sub seen {
    my $before = $hits;

    return hits() - $before;
}

sub explain {
    my ($r) = @_;

    Test::More::diag(substr $r->{raw} || '', 0, 1000);

    return;
}

sub permitted {
    my ($name, $r, $status) = @_;

    return Test::More::is_deeply([ $r->{status}, $r->{why}, seen() ],
                                 [ $status || 200, '', 1 ], $name)
        || explain($r);
}

# a JSON-RPC error, whose code is the status unless another one is expected

sub refused {
    my ($name, $r, $status, $reason, $code) = @_;
    my $e = ref $r->{json} eq 'HASH' ? $r->{json}{error} : undef;

    return Test::More::is_deeply(
        [ $r->{status}, same($r->{why}, $reason), seen(),
          $r->{headers}{'content-type'},
          ref $e eq 'HASH' ? $e->{code} : undef ],
        [ $status, $reason, 0, 'application/json', $code || $status ], $name)
        || explain($r);
}

# what /invoke and the API answer with

sub invoke_refused {
    my ($name, $r, $status, $reason) = @_;
    my $j = ref $r->{json} eq 'HASH' ? $r->{json} : {};

    return Test::More::is_deeply(
        [ $r->{status}, same($r->{why}, $reason), seen(),
          $r->{headers}{'content-type'}, $j->{success} ? 1 : 0,
          $j->{message} ? 1 : 0 ],
        [ $status, $reason, 0, 'application/json', 0, 1 ], $name)
        || explain($r);
}

sub unreached {
    my ($name, $r, $status) = @_;

    return Test::More::is_deeply(
        [ same($r->{status}, qr/^(?:$status)$/), seen() ],
        [ qr/^(?:$status)$/, 0 ], $name)
        || explain($r);
}

# what matches a pattern is shown as the pattern

sub same {
    my ($got, $expected) = @_;

    return ref $expected && $got =~ $expected ? $expected : $got;
}


sub send_body {
    my ($body, $headers, %o) = @_;

    return http_parse(http($t->port($o{port} || 0), $o{path} || '/mcp',
        method => $o{method} || 'POST', body => $body, headers => $headers));
}

# a request line, and all that follows on it

sub send_raw {
    my ($raw) = @_;

    $raw =~ s/\r\n/\r\nHost: x\r\nConnection: close\r\n/;

    return http_parse(http_raw($t->port(0), $raw));
}

sub chunked {
    my ($body, $size) = @_;

    return "Transfer-Encoding: chunked\r\n\r\n"
        . join('', map { sprintf "%x\r\n%s\r\n", length, $_ }
                   unpack '(a' . ($size || 16) . ')*', $body)
        . "0\r\n\r\n";
}

sub connected {
    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(0),
                                  Timeout => 5) or die "connect: $!";

    setsockopt $s, IPPROTO_TCP, TCP_NODELAY, 1;
    $s->autoflush(1);

    return $s;
}

# a POST that is not waited for: drain() reads the answer

sub begin_call {
    my ($body, $headers, %o) = @_;
    my $s = connected();

    syswrite $s, 'POST ' . ($o{path} || '/mcp') . " HTTP/1.1\r\nHost: x\r\n"
        . "Connection: close\r\nContent-Type: application/json\r\n$headers"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

    return $s;
}

sub drain {
    my ($s) = @_;
    my $buf = '';
    my $sel = IO::Select->new($s);

    while ($sel->can_read(10)) {
        sysread $s, $buf, 65536, length $buf or last;
    }

    # nginx waits for this, and logs only then

    close $s;

    return $buf;
}


# a tools/call, with more params if there are any

sub rpc {
    my ($tool, $args, %params) = @_;

    return '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{'
        . (%params ? substr(json_text(\%params), 1, -1) . ',' : '')
        . '"arguments":' . json_text($args)
        . ',"name":' . json_text($tool) . '}}';
}

# one of infra.scale with these bytes as arguments

sub with_args {
    my ($args) = @_;

    return rpc('infra.scale', {}) =~ s/"arguments":\{\}/"arguments":$args/r;
}

# bytes for the name of a row

sub label {
    my ($s) = @_;

    $s =~ s/\s*\r\n/ /g;
    $s =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;

    return substr $s, 0, 60;
}

1;
