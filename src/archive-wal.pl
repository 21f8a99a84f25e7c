#!/usr/bin/perl
# postbox archive-wal, for as long as a worker runs: names the file to it, waits until the worker has read, stored and
# recorded it, and passes on what it says. Whatever is not as it should be is left to Node, which can do without a worker.
#
# It must start fast, so it loads no module (Socket alone takes longer than all of this); tests check it with strict and
# warnings. The other side: worker/archive-socket.ts. The same in TypeScript: worker/archive-client.ts.

# Exit codes, for postbox.sh. None of them is 0, which is how a script ends that was cut off.
my $STORED = 80;
my $FAILED = 81;
my $LEFT_TO_NODE = 82;

# The worker says something every 5 s, so one that says nothing for so long is stopped or gone.
my $SILENCE_S = 30;

my ($directory, $given) = @ARGV;
my $path = $given =~ m{^/} ? $given : "$directory/$given";
# Node knows what to make of "." and "..".
leave_to_node() if $path =~ m{/\.{0,2}/};
my ($data_directory) = $path =~ m{^(.*)/[^/]+/(?:[0-9A-F]{24}|[0-9A-F]{8}\.history)\z}s or leave_to_node();
# The same path can be another file to the worker, in another container: by these two it knows.
my ($device, $inode) = stat $given or leave_to_node();

my $worker = connect_to(own_socket());
syswrite $worker, sprintf(qq({"path":%s,"device":%s,"inode":%s}\n), map { quoted($_) } $path, $device, $inode)
  or leave_to_node();

my $received = '';
while (1) {
  while ($received =~ s/^(.*)\n//) { heed($1) }
  my $readable = '';
  vec($readable, fileno $worker, 1) = 1;
  select($readable, undef, undef, $SILENCE_S) > 0 or leave_to_node();
  sysread $worker, $received, 65536, length $received or leave_to_node();
}

# One line of what the worker says; `state` is always first.
sub heed {
  my ($line) = @_;
  my ($state) = $line =~ /^\{"state":"(\w+)"[,}]/ or leave_to_node();
  return if $state eq 'waiting';
  exit $STORED if $state eq 'stored' || $state eq 'known';
  leave_to_node() if $state ne 'failed';

  my ($code, $message, $hint) = map { text_of($line, $_) } qw(code message hint);
  # An older worker has not understood; Node's offer it does.
  leave_to_node() if $code eq 'bad_argument' || $code eq 'worker_unreachable';
  print STDERR "postbox: $message ($code)\nhint: $hint\n";
  exit $FAILED;
}

# Where the worker of this server listens, if nobody but us could have put it there. As in worker/private-socket.ts.
sub own_socket {
  my $socket = $ENV{POSTBOX_SOCKET} // '';
  $socket =~ s/^\s+|\s+$//g;
  $socket = "/tmp/postbox-$</" . system_identifier() . '.sock' if $socket eq '';
  my ($parent) = $socket =~ m{^(/.*)/[^/]+\z}s or leave_to_node();
  for my $each ($parent, $socket) {
    my ($mode, $uid) = (lstat $each)[2, 4];
    leave_to_node() if !defined $mode || ($uid != $< && $uid != 0) || $mode & 022;
  }
  return $socket;
}

# The first field of ControlFileData (src/include/catalog/pg_control.h).
sub system_identifier {
  open my $control, '<', "$data_directory/global/pg_control" or leave_to_node();
  sysread($control, my $bytes, 8) == 8 or leave_to_node();
  return unpack 'Q<', $bytes;
}

# AF_UNIX, SOCK_STREAM and sockaddr_un as Linux has them; where they differ, nothing is connected.
sub connect_to {
  my ($path) = @_;
  socket my $socket, 1, 1, 0 or leave_to_node();
  # A worker that is stopped takes no more connections at some time.
  local $SIG{ALRM} = sub { };
  alarm $SILENCE_S;
  connect $socket, pack('S a*', 1, $path) or leave_to_node();
  alarm 0;
  return $socket;
}

sub quoted {
  my ($text) = @_;
  $text =~ s/(["\\])/\\$1/g;
  $text =~ s/([\x00-\x1f])/sprintf '\\u%04x', ord $1/ge;
  return qq("$text");
}

# A text of the line, in one line, as failure.ts prints it.
sub text_of {
  my ($line, $name) = @_;
  my ($text) = $line =~ /[{,]"$name":"((?:[^"\\]|\\.)*)"/ or leave_to_node();
  my %short = (n => "\n", t => "\t", r => "\r", b => "\b", f => "\f");
  # Beyond ASCII only half characters are written by their number.
  $text =~ s{\\(?:u00([0-7][0-9a-f])|u(....)|(.))}{$1 ? chr hex $1 : $2 ? "\xef\xbf\xbd" : $short{$3} // $3}ge;
  $text =~ s/\s*\n\s*/ /g;
  return $text;
}

sub leave_to_node { exit $LEFT_TO_NODE }
