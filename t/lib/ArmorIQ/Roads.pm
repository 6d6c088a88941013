package ArmorIQ::Roads;

# What tests share that go every road of nginx.conf to a server (walls.t,
# bypass_roads.t): locations that are MCP servers, a token for a call of each of
# them, and what the server answers.
#
#     my ($text, @names) = with_servers($locations);
#     $t->upstream(answer => answering(body => 1));
#     my $jws = token_for($t, 'walls', @names);

use strict;
use warnings;

use Exporter 'import';
use Test::More;

our @EXPORT = qw/with_servers answering token_for/;


# "armoriq on;" becomes an MCP server of its own where there may be one

sub with_servers {
    my ($text) = @_;
    my @names;

    $text =~ s{^(location[ ]+(?:=[ ])?/(\w+)/?\s*\{[^\}]*?armoriq[ ]on;)}
              {push @names, "mcp-$2"; "$1 armoriq_mcp mcp-$2;"}gemx;

    return ($text, @names);
}

# For the counting upstream, which forks: it sees nothing of the test.  body =>
# 1: a redirect may be asked for in the body, too.

sub answering {
    my (%o) = @_;

    return sub {
        my ($req) = @_;
        my $uri = $req->{uri};

        return [ 206, "Content-Range: bytes $1-$2/8\r\n", 'abcd' ]
            if $uri =~ m{^/sl} && ($req->{headers}{range} || '')
                                  =~ /(\d+)-(\d+)/;
        return [ 200, "X-Accel-Redirect: $1\r\n", '' ]
            if $uri =~ /[?&]x=([^&]+)/
               || $o{body} && $req->{body} =~ m/"x":"([^"]+)"/;
        return [ $1, '', '{}' ] if $uri =~ /[?&]status=(\d+)/;
        return [ 200, "Content-Type: text/html\r\n",
                 '{"a":"<!--#include virtual="/MCP/i" -->'
                 . '<!--#include virtual="/mcp/i" -->"}' ]
            if $uri =~ m{^/ssa};
        return [ 200, "Content-Type: application/json\r\n", '{}' ];
    };
}

# the step is the same with all of them

sub token_for {
    my ($t, $goal, @names) = @_;

    my $jws = $t->issue_token(seconds => 3600, plan => {
        goal => $goal,
        steps => [ map { { action => 'call', mcp => $_,
                           max_uses => 100000 } } @names ],
    })->{jws};

    ok($jws, 'token') or BAIL_OUT('no token');

    return $jws;
}

1;
