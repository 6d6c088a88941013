#!/usr/bin/perl

# Guards POST /invoke: that a permitted envelope becomes exactly one call of
# one tool with the arguments that were judged, byte for byte, whatever the
# MCP server does: sessions that come, expire and differ by user, handshakes
# that fail in every way, answers that take their time, clients that leave.
# And that nothing of the client's credentials gets there.

use strict;
use warnings;

use FindBin;
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/sleep time/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;
use ArmorIQ::HTTP2;
use ArmorIQ::Script;



# what is wrong with the handshake of a server, and what is said about it

my @broken = (
    [ garbage => 502, 'HANDSHAKE_FAILED' ],
    [ empty => 502, 'HANDSHAKE_FAILED' ],
    [ html => 502, 'HANDSHAKE_FAILED' ],
    [ status500 => 502, 'HANDSHAKE_FAILED' ],
    [ status404 => 502, 'HANDSHAKE_FAILED' ],
    [ status401 => 502, 'HANDSHAKE_FAILED' ],
    [ status302 => 502, 'HANDSHAKE_FAILED' ],
    [ rpcerror => 502, 'HANDSHAKE_FAILED' ],
    [ otherid => 502, 'HANDSHAKE_FAILED' ],
    [ noversion => 502, 'HANDSHAKE_FAILED' ],
    [ badversion => 502, 'HANDSHAKE_FAILED' ],
    [ longsession => 502, 'HANDSHAKE_FAILED' ],
    [ badsession => 502, 'HANDSHAKE_FAILED' ],
    [ notify500 => 502, 'HANDSHAKE_FAILED' ],
    [ long => 502, 'HANDSHAKE_FAILED' ],
    [ longsse => 502, 'HANDSHAKE_FAILED' ],
    [ flood => 502, 'HANDSHAKE_FAILED' ],
    [ pings => 504, 'TIMEOUT' ],
    [ silent => qr/^50[24]$/, qr/^(?:TIMEOUT|HANDSHAKE_FAILED)$/ ],
    [ short => qr/^502$/, qr/^(?:NETWORK_ERROR|HANDSHAKE_FAILED)$/ ],
    [ close => 502, 'NETWORK_ERROR' ],
    [ nothttp => 502, 'HANDSHAKE_FAILED' ],
    [ hang => 504, 'TIMEOUT' ],
    [ down => 502, 'NETWORK_ERROR' ],
);

my @fine = qw/json sse sse400 open pieces early nosession user conc slow stream
    strip secret enforce gone gone2 errors always dies off h2/;

my @servers = (@fine, map { $_->[0] } @broken);

my $t = ArmorIQ->new(ports => 4);

my $key = $t->init_store(mcps => [ @servers, qw/less modern later ghost
                                                unknown/ ]);
my $dir = $t->dir();

script($t);

my $locations = join '', map {
    # port 1: a free one may be somebody else's a moment later

    my $pass = $_ eq 'down' ? "http://127.0.0.1:1/$_" : "http://g/$_";

    "location = /m/$_ { "
    . ($_ eq 'off' ? 'internal;' : 'armoriq on;')
    . " armoriq_mcp $_"
    . ($_ eq 'less' ? ' stateless'
       : $_ eq 'modern' ? ' protocol=2026-07-28'
       : $_ eq 'later' ? ' protocol=2025-06-18' : '')
    . "; proxy_pass $pass; proxy_buffering off; proxy_read_timeout "
    . (/^(?:pings|silent|hang)$/ ? '1s' : '20s') . "; }\n"
} @servers, qw/less modern later unknown/;

$t->run(<<"EOF");
%%ARMORIQ%%
upstream g { server %%UPSTREAM%%; armoriq_guard; }
client_max_body_size 4m;

server {
    listen 127.0.0.1:%%PORT0%%;
    listen 127.0.0.1:%%PORT1%% http2;

    location /invoke { armoriq on; armoriq_invoke on; }
    location /naked { armoriq_invoke on; }
    $locations
}
EOF

my @tools = ('call', "gr\x{f6}\x{df}e", "a b", '=?base64?Y2FsbA==?=',
             'x' x 100);

my $jws = token(map { my $mcp = $_; map { [ $mcp, $_, max_uses => 10000 ] }
                      @tools } @servers, qw/less modern later ghost unknown/);

$t->ctl_ok('mcp', 'remove', '--store', $t->store(), '--org', 'example',
           'unknown');

handshakes();
lost_sessions();
lost_and_gone();
broken_handshakes();
stateless();
modern();
arguments();
secrets();
streaming();
gone();
concurrent();
enforce_only();
not_there();
own_errors();
once_each();
other_ways();
large();

# what was permitted has an end in the log, and the numbers are those

my ($code, $out) = $t->audit_verify();

is($code, 0, 'the log is whole') or diag($out);

my %outcome;

$outcome{ $_->{status} }++ for $t->audit_records('OUTCOME');

is(scalar(my @o = $t->audit_records('OUTCOME')),
   scalar(my @p = grep { $_->{verdict} eq 'PERMIT' }
                  $t->audit_records('INTENT')),
   'as many OUTCOMEs as PERMITs');
cmp_ok($outcome{not_sent} || 0, '>=', scalar @broken,
       'a call that failed in the handshake was not sent');

$t->allow_alerts(qr/\[crit\].*upstream sent invalid/);
$t->done_testing();


# the envelope, as text, because its numbers matter

sub token {
    my (@steps) = @_;

    return $t->issue_token(seconds => 3600,
        user => (grep { !ref } @steps) ? shift @steps : 'alice',
        plan => { goal => 'invoke', steps => [ map {
            my ($mcp, $action, %o) = @$_;
            +{ mcp => $mcp, action => $action, %o } } @steps ] })->{jws};
}

sub envelope {
    my ($mcp, %o) = @_;
    my $params = defined $o{params} ? $o{params} : '{}';

    return '{"mcp":' . json_text($mcp) . ',"action":'
        . json_text(defined $o{action} ? $o{action} : 'call')
        . ",\"params\":$params,\"arguments\":$params,\"token\":\""
        . ($o{token} || $jws) . '"' . ($o{more} || '') . '}';
}

sub headers {
    return "Content-Type: application/json\r\nX-API-Key: $key\r\n"
           . "Accept: application/json, text/event-stream\r\n";
}

sub invoke {
    my ($mcp, %o) = @_;

    return http_parse(http($t->port(0), $o{path} || '/invoke',
        body => envelope($mcp, %o), headers => headers()
                                               . ($o{headers} || '')));
}

# what has reached one server: "initialize notifications/initialized ..."

sub reached {
    my ($mcp, $method) = @_;

    return grep { $_->{uri} eq "/$mcp"
                  && (!defined $method || $_->{json}{method} eq $method) }
        $t->hits();
}

sub methods {
    my ($mcp) = @_;

    return join ' ', map { (split m{/}, $_->{json}{method})[-1] }
        reached($mcp);
}

sub outcome {
    my ($name, $want, $r) = @_;

    is("$r->{status} $r->{why}", $want, $name) or diag($r->{raw});
}

# calls that a server has carried out

sub executed {
    my ($mcp) = @_;
    my $n = () = $t->read("executed-$mcp") =~ /\n/g;

    return $n;
}


sub handshakes {
    for my $mcp (qw/json sse sse400 open pieces early user/) {
        my $start = time();
        my $r = invoke($mcp);

        outcome("$mcp: the first call", '200 ', $r);
        is($r->{json}{result}{content}[0]{text}, "$mcp {}", "$mcp: its answer");
        is(methods($mcp), 'initialize initialized call', "$mcp: handshake");
        cmp_ok(time() - $start, '<', 0.9, "$mcp: nothing is waited for");

        my ($init, $note, $call) = reached($mcp);
        my $session = $call->{headers}{'mcp-session-id'};

        like($session, qr/^$mcp-\d+$/, "$mcp: session");
        is($note->{headers}{'mcp-session-id'}, $session,
           "$mcp: session of the notification");
        is($init->{headers}{'mcp-session-id'}, undef,
           "$mcp: no session before");
        is($init->{json}{params}{protocolVersion}, '2025-11-25',
           "$mcp: offered version");
        is($init->{headers}{'mcp-protocol-version'}, undef,
           "$mcp: no version before it is known");
        is($_->{headers}{'mcp-protocol-version'}, '2025-06-18',
           "$mcp: the server's version") for $note, $call;
        is($_->{method} . $_->{headers}{'content-type'}
           . $_->{headers}{accept}, 'POSTapplication/json'
           . 'application/json, text/event-stream', "$mcp: HTTP")
            for $init, $note, $call;
        ok(!exists $note->{json}{id}, "$mcp: a notification has no id");
        is($r->{headers}{'mcp-session-id'}, undef,
           "$mcp: the session is not the client's");

        outcome("$mcp: the second call", '200 ', invoke($mcp));
        is(methods($mcp), 'initialize initialized call call',
           "$mcp: one handshake for both");

        my %ids = map { $_->{json}{id} => 1 } grep { exists $_->{json}{id} }
                  reached($mcp);

        is(scalar keys %ids, 3, "$mcp: ids do not repeat");
        is(executed($mcp), 2, "$mcp: two executions");
    }

    like(invoke('sse')->{headers}{'content-type'}, qr{^text/event-stream},
         'an event stream stays one');

    # a server that gives no session out

    outcome('no session', '200 ', invoke('nosession')) for 1 .. 2;
    is(methods('nosession'), 'initialize initialized call call',
       'no session: one handshake');
    is((reached('nosession'))[-1]{headers}{'mcp-session-id'}, undef,
       'no session: none is sent');

    # a session belongs to one user

    my $bob = token('bob', [ 'user', 'call', max_uses => 9 ]);

    outcome('another user', '200 ', invoke('user', token => $bob));
    is(methods('user'),
       'initialize initialized call call initialize initialized call',
       'another user: a session of its own');
    isnt((reached('user'))[-1]{headers}{'mcp-session-id'},
         (reached('user'))[3]{headers}{'mcp-session-id'},
         'another user: another session');

    # the version of the configuration

    outcome('protocol=', '200 ', invoke('later'));
    is((reached('later'))[0]{json}{params}{protocolVersion}, '2025-06-18',
       'protocol= is offered');
}

# 404 says the protocol, 400 say servers

sub lost_sessions {
    for my $mcp (qw/json sse sse400/) {
        my $hits = scalar(reached($mcp));
        my $done = executed($mcp);
        my $once = token([ $mcp, 'call' ]);

        unlink "$dir/sessions-$mcp";

        outcome("$mcp: session lost", '200 ', invoke($mcp, token => $once));

        my @new = map { (split m{/}, $_->{json}{method})[-1] }
                  (reached($mcp))[$hits .. scalar(reached($mcp)) - 1];

        is("@new", 'call initialize initialized call',
           "$mcp: one new handshake");
        is(executed($mcp) - $done, 1, "$mcp: one execution");
        outcome("$mcp: the step is used", '409 STEP_USED',
                invoke($mcp, token => $once));

        $done = executed($mcp);
        $hits = scalar(reached($mcp));
        outcome("$mcp: the new session holds", '200 ', invoke($mcp));
        is(scalar(reached($mcp)) - $hits, 1, "$mcp: no handshake");
    }

    # a server that knows nobody, however often it is asked

    outcome('a server that forgets: its own answer', '404 ',
            invoke('always')) for 1 .. 2;
    is(methods('always'), 'initialize initialized call'
       . ' call initialize initialized call',
       'a server that forgets: one new handshake a call');
}

# the session is lost, and the new handshake fails: nothing was executed

sub lost_and_gone {
    my $once = token([ 'dies', 'call' ]);

    outcome('before', '200 ', invoke('dies'));
    unlink "$dir/sessions-dies";
    $t->write('dead', '');

    outcome('session lost, handshake refused', '502 HANDSHAKE_FAILED',
            invoke('dies', token => $once));
    is(executed('dies'), 1, 'session lost, handshake refused: no execution');

    # records of the log phase come after the answer

    my @records;

    for (1 .. 100) {
        @records = $t->audit_records('OUTCOME');
        last if @records && $records[-1]{http} == 502;
        select undef, undef, undef, 0.02;
    }

    my $record = $records[-1];

    unlink "$dir/dead";
    is($record->{status}, 'not_sent',
       'session lost, handshake refused: the record');
    outcome('session lost, handshake refused: the step is given back', '200 ',
            invoke('dies', token => $once));
}

sub broken_handshakes {
    for (@broken) {
        my ($mcp, $status, $why) = @$_;
        my $once = token([ $mcp, 'call' ]);

        for my $i (1, 2) {
            my $start = time();
            my $r = invoke($mcp, token => $once);
            my $name = "handshake: $mcp, $i";

            like($r->{status}, ref $status ? $status : qr/^$status$/, $name)
                or diag($r->{raw});
            like($r->{why}, ref $why ? $why : qr/^$why$/, "$name: $why");
            is($r->{headers}{'content-type'}, 'application/json',
               "$name: JSON");
            is(ref $r->{json} eq 'HASH' && $r->{json}{success}
               ? 'success' : 'no', 'no', "$name: no success");
            cmp_ok(time() - $start, '<', 15, "$name: not after 20s");
        }

        # the second try was not STEP_USED: the use was given back

        is(scalar(my @c = reached($mcp, 'tools/call')), 0,
           "handshake: $mcp: no call");
    }
}

sub stateless {
    outcome('stateless', '200 ', invoke('less')) for 1 .. 2;
    is(methods('less'), 'call call', 'stateless: no handshake');
    is((reached('less'))[0]{headers}{'mcp-protocol-version'}, '2025-11-25',
       'stateless: the version');
    is((reached('less'))[0]{headers}{'mcp-session-id'}, undef,
       'stateless: no session');
}

# 2026-07-28: no handshake, the call is named in headers

sub modern {
    my %names = (
        call => 'call', "gr\x{f6}\x{df}e" => '=?base64?Z3LDtsOfZQ==?=',
        'a b' => qr/^(?:a b|=\?base64\?YSBi\?=)$/,
        '=?base64?Y2FsbA==?='
            => '=?base64?PT9iYXNlNjQ/WTJGc2JBPT0/PQ==?=',
        'x' x 100 => 'x' x 100,
    );

    for my $tool (@tools) {
        my $name = 'modern, ' . join '', map { ord($_) < 127 ? $_ : '.' }
                                         split //, $tool;

        outcome($name, '200 ', invoke('modern', action => $tool));

        my $hit = (reached('modern'))[-1];
        my %h = %{ $hit->{headers} };

        is($hit->{json}{params}{name}, $tool, "$name: in the body");
        is($h{'mcp-method'}, 'tools/call', "$name: Mcp-Method");


        {
            like($h{'mcp-name'}, ref $names{$tool} ? $names{$tool}
                                 : qr/^\Q$names{$tool}\E$/,
                 "$name: Mcp-Name");
        }

        is($h{'mcp-protocol-version'}, '2026-07-28', "$name: version");
        is($h{'mcp-session-id'}, undef, "$name: no session");

        my $meta = $hit->{json}{params}{_meta};

        is($meta->{'io.modelcontextprotocol/protocolVersion'}, '2026-07-28',
           "$name: version in _meta");
        is(ref $meta->{'io.modelcontextprotocol/clientInfo'}, 'HASH',
           "$name: client in _meta");
        is(ref $meta->{'io.modelcontextprotocol/clientCapabilities'}, 'HASH',
           "$name: capabilities in _meta");
    }

    is(scalar(my @h = reached('modern')), scalar @tools,
       'modern: nothing but calls');
    is((reached('json'))[-1]{headers}{'mcp-name'}, undef,
       'no Mcp-Name in older revisions');
    is((reached('json'))[-1]{json}{params}{_meta}, undef,
       'no _meta in older revisions');
}

# what the SDKs add goes, what the client wrote stays as it is written

sub arguments {
    my %texts = (
        '{"a":1.10,"b":1e2,"c":-0.0,"d":1E+2}'
            => '{"a":1.10,"b":1e2,"c":-0.0,"d":1E+2}',
        '{"u":"\u00e9\/\ud83d\ude00","z":null,"a":[1, 2]}'
            => '{"u":"\u00e9\/\ud83d\ude00","z":null,"a":[1, 2]}',
        '{"a":1,"_iam_context":{"x":[1]},"_policy_context":"p",'
            . '"_delegation_id":"d","_approvals":[],'
            . '"b":{"_iam_context":1,"user_email":2}}'
            => '{"a":1,"b":{"_iam_context":1,"user_email":2}}',
        '{"\u005fiam_context":1,"a":2}' => '{"a":2}',
        '{"_iam_context":{}}' => '{}',
        ' { "a" : 1 , "_iam_context" : 2 , "b" : [ ] } '
            => '{"a":1,"b":[ ]}',
        '{"a":' . '[' x 20 . ']' x 20 . '}'
            => '{"a":' . '[' x 20 . ']' x 20 . '}',
    );

    for my $text (sort keys %texts) {
        outcome("arguments: $text", '200 ', invoke('strip',
                                                   params => $text));

        my ($got) = (reached('strip'))[-1]{body}
                    =~ /"arguments":(.*)\}\}$/s;

        is($got, $texts{$text}, "arguments: $text, as they are");
    }

    # an address that the plan does not have was added by the SDK; where the
    # plan binds nothing nobody can tell

    my $bound = token([ 'strip', 'call', params => { a => 1 } ]);

    outcome('user_email that is not planned', '200 ', invoke('strip',
        token => $bound, params => '{"a":1,"user_email":"a@example.com"}'));
    is_deeply((reached('strip'))[-1]{json}{params}{arguments}, { a => 1 },
              'user_email that is not planned: not sent');
    outcome('user_email of an open step', '200 ', invoke('strip',
        params => '{"a":1,"user_email":"a@example.com"}'));
    is_deeply((reached('strip'))[-1]{json}{params}{arguments},
              { a => 1, user_email => 'a@example.com' },
              'user_email of an open step: sent');

    # a planned address is one that was meant

    my $planned = token([ 'strip', 'call',
                          params => { user_email => 'a@example.com' } ]);

    outcome('planned user_email', '200 ', invoke('strip', token => $planned,
        params => '{"user_email":"a@example.com","_approvals":[]}'));
    is_deeply((reached('strip'))[-1]{json}{params}{arguments},
              { user_email => 'a@example.com' }, 'planned user_email: sent');
}

sub large {
    my $text = 'y' x 400000;

    outcome('large arguments', '200 ', invoke('strip',
                                              params => "{\"t\":\"$text\"}"));
    ok((reached('strip'))[-1]{json}{params}{arguments}{t} eq $text,
       'large arguments: whole');
}

sub secrets {
    my @sent = ("Authorization: Bearer $key", 'Cookie: c=secret1',
                'Proxy-Authorization: Basic secret2',
                'X-CSRG-Path: /steps/[0]/action',
                'X-CSRG-Unknown: secret3', 'X-ArmorIQ-Org: secret4',
                'Mcp-Session-Id: secret5', 'X-Custom: secret6',
                'X-HTTP-Method-Override: DELETE', 'Mcp-Name: secret7',
                'Mcp-Method: secret8', 'Last-Event-ID: secret9',
                'Accept-Encoding: gzip', 'Forwarded: for=secret10');

    # "Mcp-" and "X-CSRG-" may be refused as well: then without

    my $r = invoke('secret', headers => join '', map { "$_\r\n" } @sent,
                   'X-Request-Id: r-1', 'traceparent: 00-ab-cd-01',
                   'tracestate: a=b', 'User-Agent: agent/1');

    $r = invoke('secret', headers => join '', map { "$_\r\n" }
                grep { !/^Mcp-(?:Name|Method)|^X-CSRG/ } @sent,
                'X-Request-Id: r-1', 'traceparent: 00-ab-cd-01',
                'tracestate: a=b', 'User-Agent: agent/1')
        if $r->{status} != 200;

    outcome('credentials', '200 ', $r);
    is(methods('secret'), 'initialize initialized call',
       'credentials: three requests');

    for my $hit (reached('secret')) {
        my $what = $hit->{json}{method};
        my $all = json_text($hit);

        unlike($all, qr/secret\d|\Q$key\E|\Q$jws\E/, "$what: no credentials");
        is(join(' ', grep { /^(?:authorization|cookie|x-api-key|x-csrg|
                                x-armoriq|proxy-auth|accept-enc|x-http|
                                x-custom|forwarded|last-event)/x }
                     sort keys %{ $hit->{headers} }), '',
           "$what: no header of the client");
        is($hit->{headers}{'x-request-id'} . $hit->{headers}{traceparent}
           . $hit->{headers}{tracestate} . $hit->{headers}{'user-agent'},
           'r-100-ab-cd-01a=bagent/1', "$what: but those that trace it");
    }

    like((reached('secret'))[-1]{headers}{'mcp-session-id'}, qr/^secret-\d+$/,
         'the session is ours, not the client\'s');
}

# the first event is here before the second is sent

sub streaming {
    my $body = envelope('stream');

    my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(0))
        or die "connect: $!";

    syswrite $s, "POST /invoke HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        . headers() . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

    my $start = time();
    my ($buf, $first, $second) = ('');

    while (IO::Select->new($s)->can_read(5)) {
        sysread $s, $buf, 65536, length $buf or last;

        $first ||= time() - $start if $buf =~ /"progress":1/;
        $second ||= time() - $start if $buf =~ /"result"/;
    }

    ok(defined $first && $first < 0.6, 'the first event is passed at once')
        or diag($buf);
    ok(defined $second && $second >= 0.9, 'the second when it comes');
    is(executed('stream'), 1, 'streaming: one execution');
}

# the client leaves: in the handshake nothing has been called yet

sub gone {
    for my $mcp ('gone', 'gone2') {
        my $once = token([ $mcp, 'call' ]);

        # gone is slow in initialize, gone2 in the notification

        for my $rst (0, 1) {
            my $body = envelope($mcp, token => $once);
            my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:'
                                                      . $t->port(0));
            my $hits = scalar(reached($mcp));

            syswrite $s, "POST /invoke HTTP/1.1\r\nHost: a\r\n" . headers()
                . 'Content-Length: ' . length($body) . "\r\n\r\n$body";

            for (1 .. 100) {
                last if scalar(reached($mcp)) > $hits + ($mcp eq 'gone2');
                sleep 0.01;
            }

            setsockopt $s, SOL_SOCKET, SO_LINGER, pack 'ii', 1, 0 if $rst;
            close $s;
            sleep 0.7;
            is(scalar(my @c = reached($mcp, 'tools/call')), 0,
               "$mcp: the client has gone, no call");
        }

        outcome("$mcp: the use was given back", '200 ',
                invoke($mcp, token => $once));
        outcome("$mcp: once", '409 STEP_USED', invoke($mcp, token => $once));
        is(executed($mcp), 1, "$mcp: one execution");
    }
}

sub concurrent {
    my $body = envelope('conc');
    my @socks = map {
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(0));

        syswrite $s, "POST /invoke HTTP/1.1\r\nHost: a\r\n"
            . "Connection: close\r\n" . headers() . 'Content-Length: '
            . length($body) . "\r\n\r\n$body";
        $s;
    } 1 .. 20;

    my %status;

    for my $s (@socks) {
        my $answer = do { local $/; <$s> };

        $status{ http_parse($answer)->{status} }++;
    }

    is(join(' ', map { "$_:$status{$_}" } sort keys %status), '200:20',
       '20 first calls at once');
    is(executed('conc'), 20, '20 executions');
    outcome('and one after them', '200 ', invoke('conc'));
    is((reached('conc'))[-2]{json}{method}, 'tools/call',
       'which needs no handshake');

    # the last one of a step, twenty times

    my $once = token([ 'conc', 'call' ]);

    $body = envelope('conc', token => $once);
    %status = ();

    @socks = map {
        my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $t->port(0));

        syswrite $s, "POST /invoke HTTP/1.1\r\nHost: a\r\n"
            . "Connection: close\r\n" . headers() . 'Content-Length: '
            . length($body) . "\r\n\r\n$body";
        $s;
    } 1 .. 20;

    for my $s (@socks) {
        my $answer = do { local $/; <$s> };

        $status{ http_parse($answer)->{status} }++;
    }

    is(join(' ', map { "$_:$status{$_}" } sort keys %status),
       '200:1 409:19', 'one use, 20 calls at once');
    is(executed('conc'), 22, 'one of them is executed');
}

# the question whether a call would be permitted

sub enforce_only {
    my $once = token([ 'enforce', 'call' ]);
    my @ask = (token => $once, more => ',"enforce_only":true');

    for (1, 2) {
        my $r = invoke('enforce', @ask);

        outcome("enforce_only, $_", '200 OK', $r);
        ok($r->{json}{allowed}, "enforce_only, $_: allowed");
    }

    is(scalar(my @h = reached('enforce')), 0, 'enforce_only: no request');
    outcome('enforce_only: the step is unused', '200 ',
            invoke('enforce', token => $once));
    outcome('enforce_only: now it is used', '409 STEP_USED',
            invoke('enforce', @ask));
    is(executed('enforce'), 1, 'enforce_only: one execution');
}

sub not_there {
    my $once = token([ 'ghost', 'call' ]);
    my $before = $t->hit_count();

    outcome("in the store, in no location, $_", '404 MCP_UNKNOWN',
            invoke('ghost', token => $once)) for 1, 2;
    outcome('in a location, not in the store', '404 MCP_UNKNOWN',
            invoke('unknown'));
    outcome('nowhere', '409 STEP_SERVER', invoke('nowhere'));
    is($t->hit_count(), $before, 'no request for those');
}

# an answer of the tool is the client's business

sub own_errors {
    my $r = invoke('errors', params => '{"status":500}');

    is($r->{status}, 500, 'a status of the server');
    is($r->{json}{own}, 'answer', 'and its body');

    $r = invoke('errors', params => '{"status":400}');
    is("$r->{status} $r->{json}{own}", '400 answer',
       'a 400 from a session that holds, or after a new one');

    my $n = executed('errors');

    outcome('an error of the tool', '200 ', invoke('errors'));
    is(executed('errors') - $n, 1, 'an error of the tool: one execution');
}

# a permit is for one request, also where no gate counts: the location of the
# server has "armoriq off", and the server redirects to itself

sub once_each {
    my $r = invoke('off', params => '{"again":"/m/off"}');

    is(executed('off'), 1, 'X-Accel-Redirect to itself: one execution');
    is("$r->{status} $r->{why}", '403 ENFORCEMENT_BYPASS',
       'X-Accel-Redirect to itself: refused');

    outcome('"armoriq off" there', '200 ', invoke('off'));
    is(executed('off'), 2, '"armoriq off" there: one execution');
}

sub other_ways {
    my $before = $t->hit_count();

    outcome('armoriq_invoke without armoriq', '403 ENFORCEMENT_BYPASS',
            invoke('json', path => '/naked'));
    outcome('GET', '405 METHOD_NOT_ALLOWED', http_parse(http($t->port(0),
            '/invoke', headers => headers())));
    outcome('the location of a server, from outside', '404 ',
            http_parse(http($t->port(0), '/m/off', body => '{}',
                            headers => headers())));
    outcome('the location of a server, without a token', '401 TOKEN_MISSING',
            http_parse(http($t->port(0), '/m/json', headers => headers(),
            body => '{"jsonrpc":"2.0","id":1,"method":"tools/call",'
                    . '"params":{"name":"call"}}')));

    for ([ '{}', 'INVOKE_INVALID' ], [ '[]', 'JSON_NOT_OBJECT' ],
         [ '{', 'JSON_INVALID' ], [ '', 'JSON_INVALID' ],
         [ '{"mcp":"json","mcp":"json"}', 'JSON_DUPLICATE_KEY' ],
         [ '{"mcp":"json","action":"call","tool":"other"}',
           'INVOKE_INVALID' ],
         [ '{"mcp":"json","action":"call","params":{"a":1},'
           . '"arguments":{"a":2}}', 'INVOKE_INVALID' ],
         [ '{"mcp":["json"],"action":"call"}', 'INVOKE_INVALID' ],
         [ '{"mcp":"json","action":"call","params":[]}', 'INVOKE_INVALID' ])
    {
        my ($body, $why) = @$_;

        outcome("envelope $body", "400 $why", http_parse(http($t->port(0),
                '/invoke', body => $body, headers => headers())));
    }

    is($t->hit_count(), $before, 'no request for those');

    my $r = h2($t->port(1), '/invoke', body => envelope('h2'),
               headers => headers());

    outcome('HTTP/2', '200 ', $r);
    is(methods('h2'), 'initialize initialized call', 'HTTP/2: handshake');
    outcome('HTTP/2, again', '200 ', h2($t->port(1), '/invoke',
            frames => [ split /(?<=:)/, envelope('h2') ],
            headers => headers()));
    is(executed('h2'), 2, 'HTTP/2: two executions');
}
