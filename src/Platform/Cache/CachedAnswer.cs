using System.Buffers.Binary;

namespace Sluice.Platform.Cache;

/// <summary>What is kept under a key: a version from SQL and the answer as it is sent, so that nothing is read or serialised twice.</summary>
/// <param name="Version">Grows with each change of what the answer shows, 0 or more.</param>
/// <param name="Json">Null: there is no such thing.</param>
public sealed record CachedAnswer(long Version, byte[]? Json)
{
    internal const int HeadBytes = 9;

    private const byte Present = (byte)'V', Absent = (byte)'A';

    private int reads;

    /// <summary>There is none.</summary>
    public static CachedAnswer None { get; } = new(0, null);

    /// <summary>When this node began to read it (<see cref="TimeProvider.GetTimestamp"/>): nothing that was committed before is missing.</summary>
    internal long AsOf { get; init; }

    /// <summary>How long it stays true by itself, where that is not for ever: it is kept no longer. Null: until something changes.</summary>
    public TimeSpan? Lasts { get; init; }

    /// <summary>How often it was shown from this node's memory, about: a lost count is no harm.</summary>
    internal int Reads => reads;

    internal void Count() => reads++;

    /// <summary>One letter, eight bytes of version (big endian), the JSON.</summary>
    internal byte[] ToBytes()
    {
        var bytes = new byte[HeadBytes + (Json?.Length ?? 0)];
        bytes[0] = Json is null ? Absent : Present;
        BinaryPrimitives.WriteInt64BigEndian(bytes.AsSpan(1), Version);
        Json?.CopyTo(bytes, HeadBytes);
        return bytes;
    }

    /// <summary>Null when these are no such bytes: another version of Sluice may have written them.</summary>
    internal static CachedAnswer? FromBytes(ReadOnlySpan<byte> bytes) => VersionIn(bytes) is not { } version ? null
        : new CachedAnswer(version, bytes[0] == Present ? bytes[HeadBytes..].ToArray() : null);

    /// <summary>The version in the first <see cref="HeadBytes"/>.</summary>
    internal static long? VersionIn(ReadOnlySpan<byte> head) =>
        head.Length >= HeadBytes && head[0] is Present or Absent ? BinaryPrimitives.ReadInt64BigEndian(head[1..]) : null;
}

/// <summary>One of several answers that are asked for together.</summary>
/// <param name="Load">As of <see cref="TieredCache.GetAsync"/>.</param>
/// <param name="Known">The version that the caller has seen, 0 = none.</param>
public sealed record CachePart(CacheKey Key, Func<Task<CachedAnswer>> Load, long Known = 0);

/// <summary>Names something that is kept.</summary>
/// <param name="Name">The key in Redis. What is in braces decides its slot.</param>
/// <param name="IsPrivate">Of one user: not kept in the memory of nodes, because its user must see every change at once, through whichever node.</param>
public readonly record struct CacheKey(string Name, bool IsPrivate)
{
    /// <summary><c>{u:&lt;user&gt;}:what</c>: everything of one user is in one slot.</summary>
    public static CacheKey OfUser(string userId, string what) => new($"{{u:{userId}}}:{what}", IsPrivate: true);

    /// <summary><c>{c:kind:name}</c>: the same for everybody.</summary>
    public static CacheKey Shared(string kind, string name) => new($"{{c:{kind}:{name}}}", IsPrivate: false);
}
