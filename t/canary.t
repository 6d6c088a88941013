#!/usr/bin/perl

# Guards that no secret gets into evidence or logs (A14): canaries are sent in
# every place where a client or a server can put one, through calls of all
# kinds, and then every file is searched for them, as they are and in what
# somebody may have made of them.  What may be found is listed, and is found:
# a search that finds nothing would be no search.

use strict;
use warnings;

use Digest::SHA qw/sha1_hex/;
use File::Find;
use FindBin;
use MIME::Base64 qw/encode_base64/;
use POSIX ();
use Test::More;
use Time::HiRes qw/sleep/;

use lib "$FindBin::Bin/lib";
use ArmorIQ;


# of canary_payload.t

our $audit_options;

my $t = ArmorIQ->new(ports => 1);

$t->{audit_options} = $audit_options;

# a canary of 24 bytes that no encoding leaves alone, by the place it is for

my %canary;

sub canary {
    my ($place) = @_;

    $canary{$place} ||= 'cNy/+' . substr(sha1_hex("$place $$ " . rand), 0, 16)
        . '~"z' if $place !~ /^(?:name|header|path)/;
    $canary{$place} ||= uc(unpack 'H*', "$$ $place") =~ tr/0-9/G-P/r
        if $place =~ /HTTP/;
    $canary{$place} ||= 'cNy' . substr(sha1_hex("$place $$ " . rand), 0, 21);

    return $canary{$place};
}

my %server = map { $_ => canary("server: $_") } qw/result error header
    session tool id cookie/;

my $json = "Content-Type: application/json\r\n";

$t->upstream(answer => sub {
    my ($req) = @_;
    my $rpc = ref $req->{json} eq 'HASH' ? $req->{json} : {};
    my $headers = "${json}X-Server: $server{header}\r\n"
        . "Mcp-Session-Id: " . unpack('H*', $server{session}) . "\r\n"
        . "Set-Cookie: s=$server{cookie}\r\n";
    my $name = ref $rpc->{params} eq 'HASH' ? $rpc->{params}{name} || '' : '';

    sleep 3 if $name eq 'slow';

    return [ 502, $headers, $server{error} ] if $name eq 'bad.gateway';
    return [ 500, $headers, $server{error} ] if $name eq 'no.json';

    my %member = $name eq 'rpc.error'
        ? (error => { code => -32000, message => $server{error},
                      data => $server{error} })
        : $name eq 'tool.error'
        ? (result => { isError => JSON::PP::true(), content => [
              { type => 'text', text => $server{error} } ] })
        : ($rpc->{method} || '') eq 'tools/list'
        ? (result => { tools => [ { name => 'a b', inputSchema => {} },
                                  { name => $server{tool} } ] })
        : (result => { content => [ { type => 'text',
                                      text => $server{result} } ] });

    return [ 200, $headers, json_text({ jsonrpc => '2.0',
        id => $name eq 'other.id' ? $server{id} : $rpc->{id}, %member }) ]
        if ($rpc->{method} || '') !~ /^(?:initialize|notifications)/;

    return;
});

my $key = $t->init_store(mcps => [ qw/infra-mcp dry-mcp gone-mcp/ ], policy => {
    allow => [ '*' ], deny => [ 'denied.*' ] });

$t->run(<<'EOC');
%%ARMORIQ%%

log_format aiq '$armoriq_verdict $armoriq_reason $armoriq_plan_hash '
               '$armoriq_step $armoriq_record $status';
access_log %%DIR%%/aiq.log aiq;

upstream infra {
    server %%UPSTREAM%%;
    armoriq_guard;
}

upstream gone {
    server 127.0.0.1:1;
    armoriq_guard;
}

server {
    listen 127.0.0.1:%%PORT0%%;
    large_client_header_buffers 8 32k;

    location / { armoriq_api on; }
    location = /invoke { armoriq on; armoriq_invoke on; }
    location = /mcp { armoriq on; armoriq_mcp infra-mcp;
                      proxy_pass http://infra; }
    location = /dry { armoriq on; armoriq_mcp dry-mcp; armoriq_dry_run on;
                      proxy_pass http://infra; }
    location = /gone { armoriq on; armoriq_mcp gone-mcp;
                       proxy_pass http://gone; }
    location = /proof { armoriq_audit_proof on; }
}
EOC

my @tools = qw/fine rpc.error tool.error no.json bad.gateway other.id slow/;
my $secret = canary('argument');
my $token = $t->issue_token(seconds => 600, plan => {
    goal => canary('plan'),
    steps => [ map { my $m = $_; map { { action => $_, mcp => $m,
                                         max_uses => 1000 } } @tools }
               qw/infra-mcp dry-mcp gone-mcp/ ] });
my $jws = $token->{jws};
my ($claims, $signature) = (split /\./, $jws)[1, 2];

$canary{'the token: its claims'} = $claims;
$canary{'the token: its signature'} = $signature;
$canary{'the API key'} = $key;
$canary{'the salt of the org'} = pack 'H*', json_value($t->ctl_ok('org',
    'salts', '--store', $t->store(), 'example', '--reveal', '--json'))
    ->{salts}[0]{key};


# every place of a request, in turn

my $call = { jsonrpc => '2.0', id => canary('id'), method => 'tools/call',
             params => { name => 'fine', arguments => {
                 canary('argument name') => 1, value => $secret,
                 list => [ { deep => $secret } ] } } };

for my $path ('/mcp', '/dry') {
    for my $tool (grep({ $_ ne 'slow' } @tools),
                  qw/denied.tool no.such.tool/)
    {
        $call->{params}{name} = $tool;
        ask($path, $call);
    }

    $call->{params}{name} = 'fine';

    ask($path, $call, headers => 'Cookie: a=' . canary('cookie') . "\r\n"
        . 'X-Other: ' . canary('header value') . "\r\n"
        . 'X-' . canary('header name') . ": 1\r\n"
        . 'User-Agent: ' . canary('user agent') . "\r\n"
        . 'Referer: http://example.com/' . canary('path referer') . "\r\n");
    ask("$path?x=" . canary('path query'), $call);
    ask("$path?api_key=" . canary('path key in the query'), $call);

    # credentials that are none

    ask($path, $call, auth => 'Bearer ' . canary('bearer'));
    ask($path, $call, auth => 'Bearer ak_live_' . canary('key'));
    ask($path, $call, auth => 'Basic ' . encode_base64('u:'
        . canary('password'), ''));
    ask($path, $call, auth => canary('no scheme'));
    ask($path, $call, headers => 'X-API-Key: ak_live_'
        . canary('another key') . "\r\n");
    ask($path, $call, headers => 'X-ArmorIQ-Intent: ' . canary('intent')
        . "\r\n");
    ask($path, $call, auth => "Bearer $claims." . substr($signature, 0, 40));
    ask($path, $call, auth => 'Bearer '
        . ($jws =~ s/(?<=.)(.)(?=.{20}\z)/$1 eq 'A' ? 'B' : 'A'/er));
    ask($path, $call, auth => undef);
    ask($path, $call, headers => 'Origin: http://example.com/'
        . canary('path origin') . "\r\n");
    http($t->port(0), $path, method => canary('name of HTTP'));

    # headers of the protocol

    ask($path, $call, headers => 'Mcp-Session-Id: ' . canary('session')
        . "\r\n");
    ask($path, $call, headers => 'MCP-Protocol-Version: '
        . canary('version') . "\r\n");
    ask($path, $call, headers => "MCP-Protocol-Version: 2026-07-28\r\n"
        . "Mcp-Method: tools/call\r\nMcp-Name: fine\r\n"
        . 'Mcp-Param-value: ' . canary('mcp-param') . "\r\n");
    ask($path, $call, headers => 'Mcp-Name: ' . canary('mcp-name') . "\r\n");
    ask($path, $call, headers => 'Last-Event-ID: ' . canary('event id')
        . "\r\n");
    ask($path, $call, headers => 'Upgrade: ' . canary('upgrade') . "\r\n");
    ask($path, $call, headers => 'Content-Encoding: ' . canary('encoding')
        . "\r\n");
    ask($path, $call, headers => 'X-CSRG-Path: ' . canary('csrg path')
        . "\r\nX-CSRG-Proof: " . canary('csrg proof')
        . "\r\nX-CSRG-Value-Digest: " . canary('csrg digest') . "\r\n");
    ask($path, $call, type => canary('content type'));

    # bodies

    ask($path, '{"' . canary('name of a key, twice') . '":1,"'
        . canary('name of a key, twice') . '":2}');
    ask($path, json_text($call) =~ s/"value":/"value":1,"value":/r);
    ask($path, canary('no JSON'));
    ask($path, '{"jsonrpc":"2.0","id":1,"' . canary('name of a member')
        . '":1,"method":"tools/list"}');
    ask($path, { %$call, params => { %{ $call->{params} },
        canary('name of a parameter') => canary('parameter') } });
    ask($path, { %$call, params => { %{ $call->{params} },
        _meta => { canary('meta') => canary('meta value'),
        'io.modelcontextprotocol/protocolVersion' => canary('meta version') }
    } });
    ask($path, { %$call, params => { %{ $call->{params} },
        _meta => { 'io.armoriq/intent-token' => canary('meta token') } } });
    ask($path, { %$call, params => { %{ $call->{params} },
        _meta => { 'io.armoriq/intent-token' => $jws } } });
    ask($path, { %$call, params => canary('params that are none') });
    ask($path, { %$call, params => { name => { x => canary('tool object') },
                                     arguments => {} } });
    ask($path, { %$call, params => { name => "a\n" . canary('controls')
                                     . "\x{1b}[31m", arguments => {} } });
    ask($path, { %$call, params => { name => 'x' x 300
                                     . canary('long tool') } });
    ask($path, { %$call, method => "a\n" . canary('method with controls') });
    ask($path, { %$call, method => 'x' x 300 . canary('long method') });
    ask($path, { %$call, jsonrpc => canary('jsonrpc') });
    ask($path, { %$call, id => [ canary('id that is none') ] });
    ask($path, { jsonrpc => '2.0', id => 1, method => 'tools/list',
                 params => { cursor => canary('cursor') } });
    ask($path, { jsonrpc => '2.0', method => 'notifications/progress',
                 params => { message => canary('notification') } });
    ask($path, { jsonrpc => '2.0', id => 7, result => {
        text => canary('answer to the server') } });
    ask($path, [ $call, $call ]);
}

# a server that is not there: what nginx says of it is in the error log

ask('/gone', $call);

# the API, and envelopes

my $plan = ArmorIQ::plan(steps => [ [ 'fine', { value => $secret } ] ]);

for my $body ({ plan => $plan },
              { user_id => canary('api user'), plan => canary('api plan') },
              { user_id => 'a', agent_id => "b\n" . canary('api agent'),
                plan => $plan },
              { user_id => 'a', agent_id => 'b', plan => { steps => [
                  { action => 'x', mcp => 'infra-mcp',
                    canary('api step') => 1, max_uses => 'x' } ] } },
              { user_id => 'a', agent_id => 'b', plan => $plan,
                policy => { canary('api policy') => 1 } })
{
    ask('/iap/sdk/token', $body, auth => undef,
        headers => "X-API-Key: $key\r\n");
}

ask('/iap/sdk/token', { plan => $plan }, auth => undef,
    headers => 'X-API-Key: ak_live_' . canary('api key') . "\r\n");

my $answer = $t->request_token(plan => { %$plan });

$canary{'the token of an SDK: its signature'} =
    $answer->{token}{signature} || $answer->{token}{token}
    || json_text($answer->{token});
$canary{'the JWS of an SDK'} = (split /\./, $answer->{jwt_token})[2]
    if $answer->{jwt_token};

$t->invoke('fine', { value => $secret }, token => $answer, plan => $plan);
$t->invoke('fine', { value => $secret, x => canary('envelope argument') },
           token => $answer, plan => $plan);
$t->invoke('fine', { value => $secret }, envelope => {
    canary('envelope member') => 1,
    intent_token => canary('envelope token') });
$t->invoke('fine', {}, key => 'ak_live_' . canary('envelope key'));

# evidence of it

sleep 1.2;

my ($record) = grep { $_->{verdict} eq 'PERMIT' } $t->audit_records('INTENT');
my $proof = '';

for (1 .. 100) {
    $proof = http($t->port(0), "/proof?seq=$record->{seq}");
    last if $proof =~ / 200 /;
    sleep 0.05;
}

like($proof, qr/c2sp.org\/tlog-proof/, 'a proof');
$t->write('proof.txt', $proof);

# records of the other kinds

my @store = ('--store', $t->store());

my $hits = $t->hit_count();
my $client = fork;

die "fork: $!" if !defined $client;

if ($client == 0) {
    ask('/mcp', { %$call, params => { %{ $call->{params} },
                                      name => 'slow' } });
    POSIX::_exit(0);
}

for (1 .. 500) {
    last if $t->hit_count() > $hits;
    sleep 0.02;
}

kill 'KILL', ($t->workers())[0];
waitpid $client, 0;

$call->{params}{name} = 'fine';
ask('/mcp', $call);
$t->ctl_ok('audit', 'rotate', @store, $t->audit());
$t->ctl_ok('audit', 'key', @store, 'rotate', $t->audit());
ask('/mcp', $call);
$t->reload();
ask('/mcp', $call);

my ($unknown) = grep { $_->{tool} && $_->{tool} eq 'slow' }
                $t->audit_records('INTENT');

$t->ctl_ok('audit', 'resolve', @store, $t->audit(), '--seq',
           $unknown->{seq}, '--status', 'executed', '--note', 'a note');
$t->stop();

$t->ctl('audit', 'query', $t->audit());
$t->ctl('audit', 'index', $t->audit());

my %kinds = map { $_->{t} => 1 } $t->audit_records();
my ($code, $out) = $t->audit_verify('--payloads');

is($code, 0, 'the log verifies') or diag $out;
ok($kinds{$_}, "there is a record of type $_")
    for qw/INTENT OUTCOME OPEN CLOSE ROTATE KEY RESOLVE/;

my %reasons = map { $_->{reason} => 1 } $t->audit_records('INTENT');

cmp_ok(scalar(keys %reasons), '>', 20, 'refused for many reasons');
note join ' ', sort(keys %kinds), sort keys %reasons;


# what may be found, and where

my %fine = (
    'plan' => qr{/store/data\.mdb$},            # plans are kept
    'argument' => qr{/store/data\.mdb$},        # it is in one
    'the salt of the org' => qr{/store/data\.mdb$},
    'path query' => qr{/(?:error|access)\.log$},     # nginx's own, by default,
    'path key in the query' => qr{/(?:error|access)\.log$},     # has requests
    'path referer' => qr{/(?:error|access)\.log$},
    'path origin' => qr{/(?:seg-\d+\.jsonl)$},    # who asks
    'name of HTTP' => qr{/(?:(?:error|access)\.log|seg-\d+\.jsonl)$},
    'user agent' => qr{/access\.log$},
);

my @files;

find({ no_chdir => 1, wanted => sub { push @files, $_ if -f } }, $t->dir());

# the test's own, and what only holds the requests for a moment

@files = grep { !m{/(?:hits|nginx\.conf|plan\.json|policy-.*\.json|ctl\.err
                      |tmp_[^/]*/.*|nginx\.pid|lock\.mdb|store\.key
                      |known)$}x } @files;

my %text = map { $_ => slurp($_) } @files;

cmp_ok(scalar(grep { m{/audit/payload/[-\d]+/\w+\.req$} } @files), '>', 10,
       'payloads are searched') if $audit_options;

cmp_ok(scalar(grep { m{/audit/(?:seg-|tile/|checkpoint|index/)} } @files),
       '>', 4, 'segments, tiles, checkpoints and the index are searched');

for my $place (sort keys %canary) {
    my @found;

    for my $file (@files) {
        next if $fine{$place} && $file =~ $fine{$place};

        push @found, map { "$_ in $file" } found($canary{$place},
                                                 $text{$file});
    }

    is("@found", '', "nowhere: $place");
}

# the search finds what is there

my $all = join '', map { $text{$_} } grep { m{/audit/seg-} } @files;

ok(found('no.such.tool', $all), 'the name of a tool is in the log');
ok(found('plain', 'x plain y'), 'as it is') ;

for my $shift (0 .. 2) {
    ok(found($secret, encode_base64('x' x $shift . $secret . 'yyy', '')),
       "base64, shifted by $shift");
    ok(found($secret, encode_base64('x' x $shift . $secret . 'yyy', '')
                      =~ tr{+/}{-_}r), 'base64url');
}

ok(found($secret, unpack 'H*', $secret), 'hexadecimal');
ok(found($secret, uc unpack 'H*', $secret), 'in capitals');
ok(found($secret, $secret =~ s/([^a-zA-Z0-9])/sprintf '%%%02X', ord $1/ger),
   'URL');
ok(found($secret, join '', map { sprintf '%%%02x', ord } split //, $secret),
   'all of it');
ok(found($secret, $secret =~ s/(["\\\/])/\\$1/gr), 'JSON');
ok(found($secret, json_text($secret)), 'of this kind');
ok(found($secret, join '', map { sprintf '\u%04x', ord } split //, $secret),
   'and of that');
ok(found($secret, scalar reverse $secret), 'the wrong way round');

$t->allow_alerts(qr/exited on signal 9/);
$t->done_testing();


sub ask {
    my ($path, $body, %o) = @_;
    my $auth = exists $o{auth} ? $o{auth} : "Bearer $jws";

    return http($t->port(0), $path,
        body => ref $body ? json_text($body) : $body,
        headers => 'Content-Type: ' . ($o{type} || 'application/json')
            . "\r\n"
            . (defined $auth ? "Authorization: $auth\r\n" : '')
            . ($o{headers} || ''));
}

# the forms in which a canary is in a text

my %forms;

sub forms {
    my ($s) = @_;

    return $forms{$s} ||= do {
        my %f = ('as it is' => $s, 'the wrong way round' => scalar reverse $s);

        # what does not depend on its neighbours

        for my $shift (0 .. 2) {
            my $b = encode_base64('x' x $shift . $s, '');

            $b =~ s/=+\z//;
            $b = substr $b, $shift ? 4 : 0;
            $b = substr $b, 0, length($b) - 2;

            $f{"base64/$shift"} = $b;
            $f{"base64url/$shift"} = $b =~ tr{+/}{-_}r;
        }

        $f{hex} = unpack 'H*', $s;
        $f{HEX} = uc $f{hex};
        $f{URL} = $s =~ s/([^a-zA-Z0-9])/sprintf '%%%02X', ord $1/ger;
        $f{url} = $s =~ s/([^a-zA-Z0-9])/sprintf '%%%02x', ord $1/ger;
        $f{'URL, unreserved'} =
            $s =~ s/([^a-zA-Z0-9._~-])/sprintf '%%%02X', ord $1/ger;
        $f{'all url'} = join '', map { sprintf '%%%02x', ord } split //, $s;
        $f{JSON} = $s =~ s/(["\\])/\\$1/gr;
        $f{'JSON/'} = $s =~ s/(["\\\/])/\\$1/gr;
        $f{'JSON u'} = join '', map { sprintf '\u%04x', ord } split //, $s;
        $f{'log'} = $s =~ s/(["\\])/sprintf '\\x%02X', ord $1/ger;

        # a part of it is too much

        $f{'the front of it'} = substr $s, 0, 12;
        $f{'the end of it'} = substr $s, -12;

        \%f;
    };
}

sub found {
    my ($s, $text) = @_;
    my $f = forms($s);

    return grep { index($text, $f->{$_}) >= 0 } sort keys %$f;
}

sub slurp {
    my ($name) = @_;

    open my $f, '<:raw', $name or return '';
    local $/;

    return scalar(<$f>) // '';
}
