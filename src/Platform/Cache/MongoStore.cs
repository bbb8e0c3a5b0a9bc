using Microsoft.Extensions.Logging;
using MongoDB.Bson;
using MongoDB.Driver;
using Sluice.Platform.Hosting;

namespace Sluice.Platform.Cache;

/// <summary>
/// Shared answers in MongoDB 5 or later: one document for each key, <c>_id</c> the key, <c>v</c> the value or the lease (text that begins with <c>L</c>), <c>n</c> the version, <c>x</c> when it is over, by the server's clock.
/// A TTL index deletes what is over, up to a minute later; until then the server is asked not to see it. Everything is read at the primary and written to the majority, so that a failover brings nothing back that was dropped.
/// Not tested against a server yet (docs/adr/0022).
/// </summary>
internal sealed partial class MongoStore : ISharedStore
{
    public const string Scheme = "mongodb://";

    /// <summary>A document has at most 16 MiB; what is so large is better read from SQL.</summary>
    private const int ValueBytesMax = 8 * 1024 * 1024;

    private const int DuplicateKey = 11_000;

    private static readonly BsonDocument NotOver = new("$expr", new BsonDocument("$gt", new BsonArray { "$x", "$$NOW" }));

    private readonly Resting resting = new("mongodb");
    private readonly MongoClient client;
    private readonly IMongoCollection<BsonDocument> answers;
    private readonly TimeSpan callTimeMax;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private long tooLarge;
    private int isAway, isIndexed;

    private MongoStore(string connection, TimeSpan callTimeMax, TimeProvider time, ILogger log)
    {
        (this.callTimeMax, this.time, this.log) = (callTimeMax, time, log);
        var url = MongoUrl.Create(connection);
        var settings = MongoClientSettings.FromUrl(url);
        settings.ApplicationName = "sluice";
        (settings.ServerSelectionTimeout, settings.ConnectTimeout, settings.SocketTimeout, settings.WaitQueueTimeout) = (callTimeMax, callTimeMax, callTimeMax, callTimeMax);
        client = new MongoClient(settings);
        answers = client.GetDatabase(url.DatabaseName ?? "sluice").GetCollection<BsonDocument>("cache").WithReadPreference(ReadPreference.Primary).WithWriteConcern(WriteConcern.WMajority);
        Describe = $"MongoDB at {string.Join(", ", url.Servers)}";
    }

    public string Describe { get; }

    public long TooLarge => Interlocked.Read(ref tooLarge);

    /// <summary>What MongoDB.Driver reads as <c>mongodb://…</c>.</summary>
    public static bool IsConnection(string text)
    {
        try
        {
            return text.StartsWith(Scheme, StringComparison.OrdinalIgnoreCase) && MongoUrl.Create(text).Servers.Any();
        }
        catch (Exception e) when (e is MongoConfigurationException or ArgumentException or FormatException)
        {
            return false;
        }
    }

    /// <summary>Makes the TTL index. A server that is away is no reason not to start; the index is then made by the first call that is answered.</summary>
    public static async Task<MongoStore> OpenAsync(string connection, TimeSpan callTimeMax, TimeProvider time, ILogger log)
    {
        var store = new MongoStore(connection, callTimeMax, time, log);
        try
        {
            await store.AskAsync(_ => Task.FromResult(true));
        }
        catch (DependencyUnavailableException)
        {
            // Logged; tried again by every call.
        }

        return store;
    }

    /// <summary>One round trip where something is there, which is nearly always; otherwise a second one, which puts a lease there unless something has come meanwhile.</summary>
    /// <inheritdoc/>
    public Task<Taken> TakeAsync(string key, TimeSpan leaseAge) => AskAsync(async cancel =>
    {
        var lease = NewLease();
        var found = await answers.Find(Of(key) & NotOver).FirstOrDefaultAsync(cancel);
        found ??= await PlantAsync(key, lease, leaseAge, cancel);
        return found["v"] is BsonString { Value: var standing } ? new Taken(standing == lease ? null : [], standing) : new Taken(found["v"].AsByteArray, "");
    });

    public async Task<string?> TakeOverAsync(string key, Taken standing, TimeSpan leaseAge)
    {
        var lease = NewLease();
        return await ReplaceAsync(key, standing.Lease, new BsonString(lease), version: 0, leaseAge) ? lease : null;
    }

    public async Task<bool> KeepAsync(string key, string lease, CachedAnswer answer, TimeSpan age)
    {
        var value = answer.ToBytes();
        if (value.Length <= ValueBytesMax)
        {
            return await ReplaceAsync(key, lease, new BsonBinaryData(value), answer.Version, age);
        }

        Interlocked.Increment(ref tooLarge);
        await AskAsync(cancel => answers.DeleteOneAsync(Of(key) & new BsonDocument("v", lease), cancel));
        return false;
    }

    public async Task<CachedAnswer?[]> FindAsync(string[] keys)
    {
        var found = await ManyAsync(keys, "v");
        return [.. keys.Select(key => found.GetValueOrDefault(key)?["v"] is BsonBinaryData { Bytes: var bytes } ? CachedAnswer.FromBytes(bytes) : null)];
    }

    /// <summary>Without the answers: the version has a field of its own.</summary>
    /// <inheritdoc/>
    public async Task<long?[]> VersionsAsync(string[] keys)
    {
        var found = await ManyAsync(keys, "n");
        return [.. keys.Select(key => found.GetValueOrDefault(key) is { } document && document.TryGetValue("n", out var version) && version.IsInt64 ? version.AsInt64 : (long?)null)];
    }

    public Task DropAsync(IReadOnlyCollection<string> keys) => AskAsync(cancel => answers.DeleteManyAsync(Builders<BsonDocument>.Filter.In("_id", keys), cancel));

    public ValueTask DisposeAsync()
    {
        client.Dispose();
        return ValueTask.CompletedTask;
    }

    private static string NewLease() => $"L{Guid.NewGuid():N}";

    private static FilterDefinition<BsonDocument> Of(string key) => Builders<BsonDocument>.Filter.Eq("_id", key);

    // By the server's clock: nodes' clocks may differ by more than a lease.
    private static BsonDocument EndOf(TimeSpan age) => new("$add", new BsonArray { "$$NOW", (long)age.TotalMilliseconds });

    // What is over is as good as nothing, though it is still there: so the lease is put by conditions, and not by what is set on insert only.
    private async Task<BsonDocument> PlantAsync(string key, string lease, TimeSpan age, CancellationToken cancel)
    {
        var stands = new BsonDocument("$gt", new BsonArray { "$x", "$$NOW" });
        var plant = new BsonDocument("$set", new BsonDocument
        {
            ["v"] = new BsonDocument("$cond", new BsonArray { stands, "$v", lease }),
            ["n"] = new BsonDocument("$cond", new BsonArray { stands, "$n", "$$REMOVE" }),
            ["x"] = new BsonDocument("$cond", new BsonArray { stands, "$x", EndOf(age) }),
        });
        var options = new FindOneAndUpdateOptions<BsonDocument> { IsUpsert = true, ReturnDocument = ReturnDocument.After };
        try
        {
            return await answers.FindOneAndUpdateAsync(Of(key), Pipeline(plant), options, cancel);
        }
        catch (Exception e) when (e is MongoCommandException { Code: DuplicateKey })
        {
            // Two have put it there at once. Now it is there.
            return await answers.FindOneAndUpdateAsync(Of(key), Pipeline(plant), options, cancel);
        }
    }

    private Task<bool> ReplaceAsync(string key, string lease, BsonValue by, long version, TimeSpan age) => AskAsync(async cancel =>
    {
        var set = new BsonDocument("$set", new BsonDocument
        {
            ["v"] = new BsonDocument("$literal", by),
            ["n"] = by is BsonBinaryData ? new BsonInt64(version) : "$$REMOVE",
            ["x"] = EndOf(age),
        });
        return (await answers.UpdateOneAsync(Of(key) & new BsonDocument("v", lease) & NotOver, Pipeline(set), cancellationToken: cancel)).MatchedCount == 1;
    });

    private static UpdateDefinition<BsonDocument> Pipeline(BsonDocument stage) => new PipelineUpdateDefinition<BsonDocument>(new BsonDocumentStagePipelineDefinition<BsonDocument, BsonDocument>([stage]));

    private async Task<Dictionary<string, BsonDocument>> ManyAsync(string[] keys, string field)
    {
        var found = await AskAsync(cancel => answers.Find(Builders<BsonDocument>.Filter.In("_id", keys) & NotOver).Project<BsonDocument>(new BsonDocument(field, 1)).ToListAsync(cancel));
        return found.ToDictionary(document => document["_id"].AsString, StringComparer.Ordinal);
    }

    private Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> call) => resting.AskAsync(async () =>
    {
        using var tooLong = new CancellationTokenSource(callTimeMax, time);
        try
        {
            if (Volatile.Read(ref isIndexed) == 0)
            {
                // Made again where it is there already: nothing happens then.
                await answers.Indexes.CreateOneAsync(new CreateIndexModel<BsonDocument>(new BsonDocument("x", 1), new CreateIndexOptions { ExpireAfter = TimeSpan.Zero }), cancellationToken: tooLong.Token);
                Volatile.Write(ref isIndexed, 1);
            }

            var answer = await call(tooLong.Token);
            Volatile.Write(ref isAway, 0);
            return answer;
        }
        catch (Exception e) when (e is MongoException or TimeoutException or OperationCanceledException or IOException or ObjectDisposedException)
        {
            if (Interlocked.Exchange(ref isAway, 1) == 0)
            {
                LogAway(log, Describe, e.Message);
            }

            throw new DependencyUnavailableException("mongodb", e.Message, e);
        }
    });

    [LoggerMessage(Level = LogLevel.Warning, Message = "{Server} is away: {Says} What it would share is read from SQL meanwhile")]
    private static partial void LogAway(ILogger log, string server, string says);
}
