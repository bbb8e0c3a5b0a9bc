using System.Security.Cryptography;
using System.Text;
using Dapper;
using FluentMigrator;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Sluice.Platform.Hosting;
using Sluice.Platform.Sql;

namespace Sluice.Platform.Http;

/// <summary>A key as operators see it, without its secret.</summary>
/// <param name="Id">What its tokens name; of the first one, which they do not name, its fingerprint.</param>
public sealed record TokenKeyState(string Id, DateTimeOffset SignsFrom, DateTimeOffset? ChecksUntil);

/// <summary>
/// The keys that sign tokens. The first is in the data folder (<c>token.key</c>); each further one is a row in SQL, which is where all nodes see the same, also where their data folders are mounts that nobody may write.
/// A row is sealed with the first key: SQL alone, or a backup of it, is not enough to make tokens, and neither is the file.
/// </summary>
public sealed partial class TokenKeys(string secret, UserTokens tokens, Database database, TimeProvider time, ILogger<TokenKeys> log) : BackgroundService
{
    /// <summary>Each token is held against the beginning of each.</summary>
    public const int KeysMax = 8;

    private const int IdBytes = 4, NonceBytes = 12, TagBytes = 16, SecretBytes = 32;

    // A new key signs when every node has long had its turn to learn of it.
    private static readonly TimeSpan Round = TimeSpan.FromSeconds(5), SignsAfter = TimeSpan.FromSeconds(30);

    private readonly byte[] sealing = HKDF.DeriveKey(HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(secret), SecretBytes, info: "sluice: token keys in SQL"u8.ToArray());

    // Another token.key is another first key, of which SQL says nothing yet.
    private readonly string firstId = "file-" + Convert.ToHexStringLower(HKDF.DeriveKey(HashAlgorithmName.SHA256, Encoding.UTF8.GetBytes(secret), IdBytes, info: "sluice: fingerprint of token.key"u8.ToArray()));

    // What was read first is used first.
    private readonly SemaphoreSlim loading = new(1, 1);
    private HashSet<string> unreadable = [];

    /// <summary>The keys whose tokens are good, by age. The last one signs, from its time on.</summary>
    public async Task<IReadOnlyList<TokenKeyState>> ListAsync()
    {
        var rows = await ReadAsync();
        var first = rows.Find(row => row.Id == firstId) ?? new Row(firstId, "", 0, null);
        return [.. rows.Where(row => row.Id != firstId).Prepend(first).Where(row => row.ChecksUntil is null || row.ChecksUntil > Now).Select(row =>
            new TokenKeyState(row.Id, DateTimeOffset.FromUnixTimeMilliseconds(row.SignsFrom), row.ChecksUntil is { } until ? DateTimeOffset.FromUnixTimeMilliseconds(until) : null))];
    }

    /// <summary>Makes a key that signs half a minute from now on. The others are good until the last of their tokens has expired, or only until then.</summary>
    /// <returns>Null: there are <see cref="KeysMax"/> already whose tokens are good.</returns>
    public async Task<TokenKeyState?> RotateAsync(bool endOthers)
    {
        // May not run twice by itself when its commit got lost: the caller looks at the list.
        var id = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(IdBytes));
        var row = new Row(id, Seal(id, RandomNumberGenerator.GetBytes(SecretBytes)), Now + (long)SignsAfter.TotalMilliseconds, null);
        var isMade = await database.WriteAsync(async transaction =>
        {
            var connection = transaction.Connection!;
            if (!endOthers && await connection.QuerySingleAsync<long>("SELECT COUNT(*) FROM token_keys WHERE checks_until IS NULL OR checks_until > @Now", new { Now }, transaction) >= KeysMax)
            {
                return false;
            }

            var until = row.SignsFrom + (endOthers ? 0 : (long)UserTokens.LifetimeMax.TotalMilliseconds);
            await connection.ExecuteAsync(
                $"INSERT INTO token_keys (id, sealed, signs_from, checks_until) VALUES (@firstId, '', 0, NULL) {Dialect.OrUpdate(transaction, "id")} sealed = ''", new { firstId }, transaction);
            await connection.ExecuteAsync("UPDATE token_keys SET checks_until = @until WHERE checks_until IS NULL OR checks_until > @until", new { until }, transaction);

            // What has ended is forgotten, but not that the first one has: its secret is still in the file.
            await connection.ExecuteAsync("DELETE FROM token_keys WHERE checks_until < @Now AND sealed <> ''", new { Now }, transaction);
            await connection.ExecuteAsync("INSERT INTO token_keys (id, sealed, signs_from, checks_until) VALUES (@Id, @Sealed, @SignsFrom, NULL)", row, transaction);
            return true;
        });
        await LoadAsync();
        return isMade ? new TokenKeyState(id, DateTimeOffset.FromUnixTimeMilliseconds(row.SignsFrom), null) : null;
    }

    /// <summary>Before the first request is let in: a token that is refused is a buyer who is sent away.</summary>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        await LoadAsync();
        await base.StartAsync(cancellationToken);
    }

    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Rounds.RunAsync(LoadAsync, Round, (error, says) => LogFailed(log, error, says), time, stoppingToken);

    /// <summary>Takes the keys of SQL into use.</summary>
    internal async Task LoadAsync()
    {
        await loading.WaitAsync();
        try
        {
            Use(await ReadAsync());
        }
        finally
        {
            loading.Release();
        }
    }

    public override void Dispose()
    {
        loading.Dispose();
        base.Dispose();
    }

    private void Use(List<Row> rows)
    {
        var keys = new List<TokenKey>();
        var failed = new HashSet<string>(StringComparer.Ordinal);
        foreach (var row in rows.Where(row => row.Sealed.Length > 0 && (row.ChecksUntil is null || row.ChecksUntil > Now)))
        {
            if (Open(row) is { } opened)
            {
                keys.Add(new TokenKey(row.Id, opened, DateTimeOffset.FromUnixTimeMilliseconds(row.SignsFrom), EndOf(row)));
            }
            else
            {
                failed.Add(row.Id);
                if (!unreadable.Contains(row.Id))
                {
                    LogUnreadable(log, row.Id);
                }
            }
        }

        unreadable = failed;
        tokens.Use(keys, EndOf(rows.Find(row => row.Id == firstId)));

        static DateTimeOffset EndOf(Row? row) => row?.ChecksUntil is { } until ? DateTimeOffset.FromUnixTimeMilliseconds(until) : DateTimeOffset.MaxValue;
    }

    private long Now => time.GetUtcNow().ToUnixTimeMilliseconds();

    private async Task<List<Row>> ReadAsync() => (await database.ReadAsync(connection => connection.QueryAsync<Row>(
        "SELECT id AS Id, sealed AS Sealed, signs_from AS SignsFrom, checks_until AS ChecksUntil FROM token_keys ORDER BY signs_from, id"))).AsList();

    private string Seal(string id, byte[] key)
    {
        var box = new byte[NonceBytes + TagBytes + key.Length];
        RandomNumberGenerator.Fill(box.AsSpan(0, NonceBytes));
        using var aes = new AesGcm(sealing, TagBytes);
        aes.Encrypt(box.AsSpan(0, NonceBytes), key, box.AsSpan(NonceBytes + TagBytes), box.AsSpan(NonceBytes, TagBytes), Encoding.ASCII.GetBytes(id));
        return Convert.ToBase64String(box);
    }

    // Null: it was sealed with another token.key.
    private byte[]? Open(Row row)
    {
        var box = new byte[NonceBytes + TagBytes + SecretBytes];
        if (!Convert.TryFromBase64String(row.Sealed, box, out var count) || count != box.Length)
        {
            return null;
        }

        var key = new byte[SecretBytes];
        using var aes = new AesGcm(sealing, TagBytes);
        try
        {
            aes.Decrypt(box.AsSpan(0, NonceBytes), box.AsSpan(NonceBytes + TagBytes), box.AsSpan(NonceBytes, TagBytes), key, Encoding.ASCII.GetBytes(row.Id));
            return key;
        }
        catch (AuthenticationTagMismatchException)
        {
            return null;
        }
    }

    [method: ExplicitConstructor]
    private sealed record Row(string Id, string Sealed, long SignsFrom, long? ChecksUntil);

    [LoggerMessage(Level = LogLevel.Warning, Message = "The keys of tokens could not be looked at, trying again: {Says}")]
    private static partial void LogFailed(ILogger log, Exception? error, string says);

    [LoggerMessage(Level = LogLevel.Warning, Message = "Token key {Id} was sealed with another token.key than this node's: its tokens are refused here")]
    private static partial void LogUnreadable(ILogger log, string id);
}

/// <summary>Keys of tokens beside the one in the data folder.</summary>
[Migration(5002)]
public sealed class M5002_TokenKeys : Migration
{
    public override void Up() => Create.Table("token_keys")
        .WithColumn("id").AsString(16).PrimaryKey()
        .WithColumn("sealed").AsString(200).NotNullable()
        .WithColumn("signs_from").AsInt64().NotNullable()
        .WithColumn("checks_until").AsInt64().Nullable();

    public override void Down() => throw new NotSupportedException("Sluice's schema only goes forward; restore a backup instead.");
}
