package ArmorIQ::Note;

# C2SP signed notes, checkpoints and cosignatures, verified by openssl and not
# by our own code; and the files of a log.
#
#     use ArmorIQ::Note;
#
#     my $n = note($text);          # { text, lines => [ [ name, blob ] ] }
#     signed($t, $text, $vkey);     # number of good signatures by this key;
#                                   # for a cosigner the time; 0; -1 is wrong
#     checkpoint($text);            # { origin, size, root }

use strict;
use warnings;

use Digest::SHA qw/sha256/;
use Exporter 'import';
use MIME::Base64;

use ArmorIQ;

our @EXPORT = qw/note signed checkpoint log_file put_file log_lines vkey_of
                 openssl/;


sub openssl { system('openssl version >/dev/null 2>&1') == 0 }

sub note {
    my ($in) = @_;

    my ($text, $sigs) = $in =~ /\A(.*\n)\n((?:\xe2\x80\x94 \S+ \S+\n)+)\z/s
        or return;
    my @lines;

    while ($sigs =~ /\G\xe2\x80\x94 (\S+) (\S+)\n/g) {
        push @lines, [ $1, decode_base64($2) ];
    }

    return { text => $text, lines => \@lines };
}

sub checkpoint {
    my ($note) = @_;
    my ($origin, $size, $root) = split /\n/, defined $note ? $note : '';

    return { origin => $origin || '', size => $size || 0,
             root => decode_base64($root || '') };
}

sub signed {
    my ($t, $in, $vkey) = @_;
    my $n = note($in) or return 0;
    my ($name, $id, $key) = split /\+/, $vkey, 3;

    $key = decode_base64($key);

    return 0 if length $key != 33
                || unpack('H*', substr sha256("$name\n$key"), 0, 4) ne $id;

    my $type = ord $key;
    my $good = 0;

    for (@{$n->{lines}}) {
        my ($by, $blob) = @$_;

        next if $by ne $name || unpack('H*', substr $blob, 0, 4) ne $id;

        my ($time, $text, $sig) = (1, $n->{text}, substr $blob, 4);

        if ($type == 4) {
            $time = unpack 'Q>', $sig;
            $sig = substr $sig, 8;
            $text = "cosignature/v1\ntime $time\n$text";
        }

        return -1 if length $sig != 64
                     || !ed25519($t, $text, substr($key, 1), $sig);

        $good = $type == 4 ? $time : $good + 1;
    }

    return $good;
}

sub ed25519 {
    my ($t, $text, $key, $sig) = @_;

    # SubjectPublicKeyInfo of RFC 8410

    my $der = $t->write('note.der', pack('H*', '302a300506032b6570032100')
                                    . $key);
    my $in = $t->write('note.text', $text);
    my $file = $t->write('note.sig', $sig);

    return system("openssl pkeyutl -verify -pubin -inkey $der -keyform DER"
                  . " -rawin -in $in -sigfile $file >/dev/null 2>&1") == 0;
}


# files of the log

sub log_file {
    my ($t, $name) = @_;

    open my $f, '<:raw', $t->audit() . "/$name" or return '';
    local $/;

    return scalar <$f>;
}

sub put_file {
    my ($name, $data) = @_;

    open my $f, '>:raw', $name or die "$name: $!";
    chmod 0600, $name;
    print $f $data;
    close $f or die "$name: $!";
}

sub log_lines {
    my ($t) = @_;

    return map { split /\n/, log_file($t, s{.*/}{}r) }
               sort glob $t->audit() . '/seg-*.jsonl';
}

# the first key of the log

sub vkey_of { json_value(log_file($_[0], 'log.json'))->{vkeys}[0] }

1;
