using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Sluice.Tests.Integration.Http;

/// <summary>A connection that sends whatever it is told to, as no HTTP library would.</summary>
internal sealed class RawConnection : IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };

    public static async Task<RawConnection> OpenAsync(int port)
    {
        var connection = new RawConnection();
        await connection.socket.ConnectAsync(IPAddress.Loopback, port);
        return connection;
    }

    /// <summary>False when the server has closed already.</summary>
    public async Task<bool> TrySendAsync(string text)
    {
        try
        {
            await socket.SendAsync(Encoding.Latin1.GetBytes(text));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>All that comes until the server closes, or until <paramref name="enough"/> has come.</summary>
    public async Task<string> ReadAsync(string? enough = null)
    {
        using var patience = new CancellationTokenSource(Patience);
        var all = new StringBuilder();
        var buffer = new byte[16_384];
        try
        {
            while (enough is null || !all.ToString().Contains(enough, StringComparison.Ordinal))
            {
                var count = await socket.ReceiveAsync(buffer, patience.Token);
                if (count == 0)
                {
                    break;
                }

                all.Append(Encoding.Latin1.GetString(buffer, 0, count));
            }
        }
        catch (SocketException)
        {
            // Reset is one way to be refused.
        }

        return all.ToString();
    }

    /// <summary>RST: as a machine that was switched off.</summary>
    public void Abort()
    {
        socket.LingerState = new LingerOption(true, 0);
        socket.Close();
    }

    public void Dispose() => socket.Dispose();
}
