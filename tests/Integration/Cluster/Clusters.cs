namespace Sluice.Tests.Integration.Cluster;

/// <summary>
/// Drills on a whole cluster of processes: one at a time, but beside tests of other kinds. They spend most of their time waiting for a failover, and alone they would make a test run several minutes longer.
/// </summary>
[CollectionDefinition(Name)]
public sealed class Clusters
{
    public const string Name = "Clusters";
}
