using System.Runtime.InteropServices;

namespace Sluice.Tests.Integration.Servers;

/// <summary>
/// The cluster that comes with Kafka's own client for its tests: one broker that speaks the protocol on a loopback port and keeps topics, groups and offsets in memory. It cannot be restarted: a new one is another one, and empty.
/// </summary>
public sealed partial class KafkaCluster : IAsyncDisposable
{
    private const string Library = "librdkafka";
    private const int Producer = 0;

    private readonly nint client, cluster;

    // As the client does: the build that brings all that it needs, where there is one, else the one that needs libraries of the machine.
    static KafkaCluster() => NativeLibrary.SetDllImportResolver(typeof(KafkaCluster).Assembly, (name, asking, paths) =>
        name == Library && NativeLibrary.TryLoad($"centos8-{name}", asking, paths, out var whole) ? whole : 0);

    public KafkaCluster()
    {
        var says = new byte[512];
        client = NewClient(Producer, NewSettings(), says, says.Length);
        if (client == 0)
        {
            throw new InvalidOperationException(System.Text.Encoding.UTF8.GetString(says).TrimEnd('\0'));
        }

        cluster = NewCluster(client, brokers: 1);

        // An empty group waits three seconds for further members, for every test anew. Here it need not: whoever comes later is given a share all the same.
        SetFirstJoinDelay(cluster, milliseconds: 50);
        Connection = Marshal.PtrToStringUTF8(Addresses(cluster))!;
    }

    public string Connection { get; }

    public ValueTask DisposeAsync()
    {
        EndCluster(cluster);
        EndClient(client);
        return ValueTask.CompletedTask;
    }

    [LibraryImport(Library, EntryPoint = "rd_kafka_conf_new")]
    private static partial nint NewSettings();

    [LibraryImport(Library, EntryPoint = "rd_kafka_new")]
    private static partial nint NewClient(int kind, nint settings, [Out] byte[] says, nint saysBytes);

    [LibraryImport(Library, EntryPoint = "rd_kafka_destroy")]
    private static partial void EndClient(nint client);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_cluster_new")]
    private static partial nint NewCluster(nint client, int brokers);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_cluster_destroy")]
    private static partial void EndCluster(nint cluster);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_cluster_bootstraps")]
    private static partial nint Addresses(nint cluster);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_group_initial_rebalance_delay_ms")]
    private static partial void SetFirstJoinDelay(nint cluster, int milliseconds);
}
