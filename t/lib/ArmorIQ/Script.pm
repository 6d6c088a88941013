package ArmorIQ::Script;

# An MCP server that misbehaves.  The path of a request is the name of what
# it does: "/json" is well, "/hang" never answers.  Sessions that it has given
# out are lines of the file sessions-NAME, calls that it has carried out are
# lines of executed-NAME, both in the directory of the test.

use strict;
use warnings;

use Exporter 'import';
use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw/sleep/;

use ArmorIQ;

our @EXPORT = qw/script/;

my ($t, $dir);


# starts it for a test: $t->{upstream_port} and $t->hits() are its own

sub script {
    ($t) = @_;

    $dir = $t->dir();

    my $sock = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 128,
                                     ReuseAddr => 1) or die "listen: $!";

    $t->{upstream_port} = $sock->sockport;
    $t->{hits_file} = "$dir/hits";

    my $pid = fork;
    die "fork: $!" if !defined $pid;

    if ($pid) {
        push @{ $t->{pids} }, $pid;
        close $sock;
        return;
    }

    POSIX::setpgid(0, 0);

    local $SIG{CHLD} = 'IGNORE';
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{TERM} = sub { $SIG{TERM} = 'IGNORE'; kill 'TERM', 0;
                             POSIX::_exit(0) };

    while (1) {
        my $c = $sock->accept or next;
        my $child = fork;

        if (defined $child && $child == 0) {
            local $SIG{TERM} = 'DEFAULT';

            close $sock;
            $c->autoflush(1);
            one_request($c);
            close $c;
            POSIX::_exit(0);
        }

        close $c;
    }
}

sub one_request {
    my ($c) = @_;
    my $buf = '';

    until ($buf =~ /\r\n\r\n/) {
        sysread $c, $buf, 65536, length $buf or return;
    }

    my ($head, $body) = split /\r\n\r\n/, $buf, 2;
    my ($line, @lines) = split /\r\n/, $head;
    my ($method, $uri) = split / /, $line;
    my %h = map { /^([^:]+):\s*(.*)$/ ? (lc $1, $2) : () } @lines;

    until (length $body >= ($h{'content-length'} || 0)) {
        sysread $c, $body, 65536, length $body or return;
    }

    my $rpc = json_value($body);

    ArmorIQ::record($t->{hits_file}, { method => $method, uri => $uri,
        headers => \%h, body => $body, json => $rpc });

    my $what = substr $uri, 1;

    return answer_initialize($c, $what, $rpc)
        if $rpc->{method} eq 'initialize';
    return answer_initialized($c, $what)
        if $rpc->{method} eq 'notifications/initialized';

    answer_call($c, $what, $rpc, $h{'mcp-session-id'});
}

sub send_answer {
    my ($c, $status, $headers, $body) = @_;

    print $c "HTTP/1.1 $status X\r\nConnection: close\r\n$headers"
        . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}

sub append {
    my ($name, $line) = @_;

    open my $f, '>>', "$dir/$name" or return;
    syswrite $f, "$line\n";
    close $f;
}

sub answer_initialize {
    my ($c, $what, $rpc) = @_;
    my $type = "Content-Type: application/json\r\n";
    my $sse = "Content-Type: text/event-stream\r\n";
    my $start = "HTTP/1.1 200 X\r\nConnection: close\r\n$sse\r\n";
    my $session = "$what-$$";
    my $version = '2025-06-18';
    my $id = $rpc->{id};

    return send_answer($c, $1, $type . "Location: /x\r\n", '{}')
        if $what =~ /^status(\d+)/;
    return send_answer($c, 500, $type, '{}')
        if $what eq 'dies' && -e "$dir/dead";

    return send_answer($c, 200, $type, 'garbage') if $what eq 'garbage';
    return send_answer($c, 200, $type, '') if $what eq 'empty';
    return send_answer($c, 200, "Content-Type: text/html\r\n",
                       '<html>{"result":1}</html>') if $what eq 'html';
    return send_answer($c, 200, $type, json_text({ jsonrpc => '2.0',
        id => $id, error => { code => -1, message => 'no' } }))
        if $what eq 'rpcerror';

    return if $what eq 'close';
    return print $c "SSH-2.0-x\r\n" if $what eq 'nothttp';
    return sleep 4 if $what eq 'hang';

    if ($what eq 'short') {
        print $c "HTTP/1.1 200 X\r\n${type}Content-Length: 500\r\n\r\n{\"a";
        return;
    }

    if ($what eq 'silent') {
        print $c $start;
        return sleep 4;
    }

    if ($what eq 'pings') {
        print $c $start;

        for (1 .. 40) { print $c ": ping\n\n" or return; sleep 0.1 }
        return;
    }

    if ($what eq 'flood') {
        print $c $start;

        for (1 .. 100000) {
            print $c 'data: {"jsonrpc":"2.0","method":"notifications/x"}'
                     . "\n\n" or return;
        }

        return;
    }

    $id = 17 if $what eq 'otherid';
    $session = 's' x 300 if $what eq 'longsession';
    $session = "a\tb" if $what eq 'badsession';
    $version = "1\r\nX-Evil: 1" if $what eq 'badversion';

    my $text = json_text({ jsonrpc => '2.0', id => $id, result => {
        ($what eq 'noversion' ? () : (protocolVersion => $version)),
        capabilities => {}, serverInfo => { name => 'x', version => '1' },
        ($what =~ /^long(?:sse)?$/ ? (instructions => 'i' x 100000) : ()),
    } });

    sleep 0.4 if $what eq 'gone';
    append("sessions-$what", $session) if $what ne 'always';

    my $headers = $what eq 'nosession' ? '' : "Mcp-Session-Id: $session\r\n";

    if ($what =~ /^(?:sse|open|early|longsse|h2|user)/) {
        print $c "HTTP/1.1 200 X\r\nConnection: close\r\n$sse$headers\r\n";
        print $c "id: 1\nretry: 500\ndata: \n\n";
        print $c 'data: {"jsonrpc":"2.0","method":"notifications/x"}'
                 . "\r\n\r\n" if $what eq 'early';
        print $c "event: message\ndata: $text\n\n";
        sleep 3 if $what eq 'open';
        return;
    }

    if ($what eq 'pieces') {
        print $c "HTTP/1.1 200 X\r\nConnection: close\r\n$type$headers"
            . 'Content-Length: ' . length($text) . "\r\n\r\n";

        for ($text =~ /(.{1,40})/g) { print $c $_; sleep 0.02 }
        return;
    }

    send_answer($c, 200, $type . $headers, $text);
}

sub answer_initialized {
    my ($c, $what) = @_;

    sleep 0.4 if $what eq 'gone2';

    send_answer($c, $what eq 'notify500' ? 500 : 202, '', '');
}

sub answer_call {
    my ($c, $what, $rpc, $session) = @_;
    my $type = "Content-Type: application/json\r\n";
    my $args = $rpc->{params}{arguments};

    if ($what !~ /^(?:less|modern|nosession)$/) {
        my %known = map { $_ => 1 } split /\n/, $t->read("sessions-$what");

        return send_answer($c, $what eq 'sse400' ? 400 : 404, $type,
            '{"jsonrpc":"2.0","id":null,"error":{"code":-32001,'
            . '"message":"no session"}}')
            if !defined $session || !$known{$session};
    }

    append("executed-$what", $$);

    return send_answer($c, $args->{status}, $type, '{"own":"answer"}')
        if $what eq 'errors' && $args->{status};
    return send_answer($c, 200, "X-Accel-Redirect: $args->{again}\r\n", '')
        if $args->{again};

    my $text = json_text($what eq 'errors'
        ? { jsonrpc => '2.0', id => $rpc->{id},
            error => { code => -32000, message => 'tool' } }
        : { jsonrpc => '2.0', id => $rpc->{id}, result => { content => [
            { type => 'text', text => "$what " . ($what eq 'strip' ? ''
                                       : json_text($args)) } ] } });

    return send_answer($c, 200, $type . ($session
               ? "Mcp-Session-Id: $session\r\n" : ''), $text)
        if $what !~ /^(?:sse|open|stream)/;

    print $c "HTTP/1.1 200 X\r\nConnection: close\r\n"
        . "Content-Type: text/event-stream\r\n\r\n";
    print $c 'data: {"jsonrpc":"2.0","method":"notifications/progress",'
        . "\"params\":{\"progress\":1}}\n\n" if $what eq 'stream';
    sleep 1 if $what eq 'stream';
    print $c "event: message\ndata: $text\n\n";
}

1;
