using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using HdrHistogram;

namespace Sluice.Bench.Runner;

/// <summary>What came of arrivals at a rate. Latencies count from the moment an arrival was due, whenever it could be sent: a server that is slow for a moment is charged for everybody who came meanwhile.</summary>
internal sealed record Paced(long Requests, double Seconds, double P50Ms, double P99Ms)
{
    public double PerSecond => Requests / Seconds;
}

/// <summary>
/// Sends at a given rate whatever comes back (an open model; wrk sends the next when the last was answered). Arrivals are random and fall on whole milliseconds; each takes an idle connection, or waits for one.
/// Plain sockets and prepared bytes, since it shares the machine with the server.
/// </summary>
internal static class Pacer
{
    private const int Connections = 256, AnswerBytesMax = 16_384;
    private const long MicrosecondsMax = 60_000_000;

    /// <param name="request">The bytes of the n-th request; asked by one thread, in order.</param>
    /// <exception cref="BenchException">An answer had another status than <paramref name="status"/>, or a connection ended.</exception>
    public static async Task<Paced> RunAsync(string url, double perSecond, double seconds, int status, Func<long, byte[]> request, CancellationToken cancel)
    {
        var server = new Uri(url);
        var endpoint = new IPEndPoint(IPAddress.Parse(server.Host), server.Port);
        var due = Channel.CreateUnbounded<(long At, byte[] Request)>(new() { SingleWriter = true });
        var wanted = Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"HTTP/1.1 {status} "));
        var histograms = new LongHistogram[Connections];
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var connections = Enumerable.Range(0, Connections).Select(number => Task.Run(
            async () =>
            {
                try
                {
                    histograms[number] = await AnswerAsync(endpoint, due.Reader, wanted, stop.Token);
                }
                catch
                {
                    await stop.CancelAsync();
                    throw;
                }
            },
            cancel)).ToArray();
        var started = TimeProvider.System.GetTimestamp();
        var count = 0L;
        var random = new Random(20_000);
        using (var tick = new PeriodicTimer(TimeSpan.FromMilliseconds(1)))
        {
            for (var millisecond = 0L; millisecond < seconds * 1_000 && !stop.IsCancellationRequested;)
            {
                var now = (long)TimeProvider.System.GetElapsedTime(started).TotalMilliseconds;
                for (; millisecond <= now; millisecond++)
                {
                    var at = started + millisecond * TimeProvider.System.TimestampFrequency / 1_000;
                    for (var arrivals = Poisson(random, perSecond / 1_000); arrivals > 0; arrivals--)
                    {
                        due.Writer.TryWrite((at, request(count++)));
                    }
                }

                await tick.WaitForNextTickAsync(cancel);
            }
        }

        due.Writer.Complete();
        await Task.WhenAll(connections);
        var all = new LongHistogram(MicrosecondsMax, 3);
        foreach (var histogram in histograms)
        {
            all.Add(histogram);
        }

        return new Paced(count, TimeProvider.System.GetElapsedTime(started).TotalSeconds, all.GetValueAtPercentile(50) / 1_000.0, all.GetValueAtPercentile(99) / 1_000.0);
    }

    private static async Task<LongHistogram> AnswerAsync(IPEndPoint endpoint, ChannelReader<(long At, byte[] Request)> due, byte[] wanted, CancellationToken cancel)
    {
        var histogram = new LongHistogram(MicrosecondsMax, 3);
        using var socket = new Socket(endpoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(endpoint, cancel);
        var buffer = new byte[AnswerBytesMax];
        await foreach (var (at, request) in due.ReadAllAsync(cancel))
        {
            await socket.SendAsync(request, cancel);
            var length = 0;
            while (!IsWhole(buffer.AsSpan(0, length)))
            {
                var received = await socket.ReceiveAsync(buffer.AsMemory(length), cancel);
                Rig.Require(received > 0, "A connection ended, or an answer was too long.");
                length += received;
            }

            Rig.Require(buffer.AsSpan().StartsWith(wanted), $"Answered: {Encoding.UTF8.GetString(buffer, 0, length)}");
            histogram.RecordValue(Math.Min((long)TimeProvider.System.GetElapsedTime(at).TotalMicroseconds, MicrosecondsMax));
        }

        return histogram;
    }

    private static bool IsWhole(ReadOnlySpan<byte> answer)
    {
        var head = answer.IndexOf("\r\n\r\n"u8);
        if (head < 0)
        {
            return false;
        }

        var body = answer[(head + 4)..];
        var length = answer[..head].IndexOf("Content-Length: "u8);
        if (length < 0)
        {
            return body.EndsWith("0\r\n\r\n"u8);
        }

        var digits = answer[(length + 16)..];
        return body.Length >= int.Parse(digits[..digits.IndexOf((byte)'\r')], CultureInfo.InvariantCulture);
    }

    // Knuth's way; the rates here are some dozens a millisecond at most.
    private static int Poisson(Random random, double mean)
    {
        var count = 0;
        for (var product = random.NextDouble(); product > Math.Exp(-mean); product *= random.NextDouble())
        {
            count++;
        }

        return count;
    }
}
