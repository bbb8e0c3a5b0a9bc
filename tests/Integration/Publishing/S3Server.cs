using System.Diagnostics;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Sluice.Tests.Integration.Servers;

namespace Sluice.Tests.Integration.Publishing;

/// <summary>A real server that speaks S3 (s3rver from npm, in the version that s3/package.json pins), with one bucket. It knows its users by their keys, but does not check signatures of version 4.</summary>
internal sealed class S3Server : IAsyncDisposable
{
    public const string Bucket = "shop", Key = "S3RVER", Secret = "S3RVER";

    private static readonly SemaphoreSlim Installing = new(1, 1);

    private readonly TempFolder folder = new();
    private readonly int port = FreePort.Next();
    private ChildProcess? process;
    private AmazonS3Client client = null!;

    public string Url => $"http://127.0.0.1:{port}";

    /// <summary>What a node needs to publish here.</summary>
    public string[] Settings => [$"Publish:Bucket={Bucket}", $"Publish:BucketUrl={Url}", $"Publish:AccessKey={Key}", $"Publish:SecretKey={Secret}"];

    public static async Task<S3Server> StartAsync()
    {
        var home = Path.Combine(Programs.Root, "tests/Integration/Publishing/s3");
        await Installing.WaitAsync();
        try
        {
            if (!Directory.Exists(Path.Combine(home, "node_modules/s3rver")))
            {
                using var npm = Process.Start(new ProcessStartInfo("npm", ["ci", "--prefix", home]) { WorkingDirectory = home })!;
                await npm.WaitForExitAsync();
                Assert.Equal(0, npm.ExitCode);
            }
        }
        finally
        {
            Installing.Release();
        }

        var server = new S3Server();
        server.process = ChildProcess.Start("node", [Path.Combine(home, "node_modules/s3rver/bin/s3rver.js"), "-d", server.folder.Path, "-a", "127.0.0.1", "-p", $"{server.port}", "--no-vhost-buckets", "--configure-bucket", Bucket]);
        server.client = new AmazonS3Client(new BasicAWSCredentials(Key, Secret), new AmazonS3Config { ServiceURL = server.Url, ForcePathStyle = true, AuthenticationRegion = "us-east-1", MaxErrorRetry = 0 });
        await Eventually.TrueAsync(
            async () =>
            {
                Assert.False(server.process.HasExited, server.process.Output);
                try
                {
                    return (await server.client.ListObjectsV2Async(new ListObjectsV2Request { BucketName = Bucket })).HttpStatusCode == System.Net.HttpStatusCode.OK;
                }
                catch (Exception e) when (e is AmazonClientException or HttpRequestException)
                {
                    return false;
                }
            },
            "the S3 server answers");
        return server;
    }

    public Task<IReadOnlyList<string>> KeysAsync() => CalmAsync<IReadOnlyList<string>>(async () => [.. ((await client.ListObjectsV2Async(new ListObjectsV2Request { BucketName = Bucket })).S3Objects ?? []).Select(entry => entry.Key).Order(StringComparer.Ordinal)]);

    public Task<(string Text, string ContentType, string CacheControl, DateTime? Written)> GetAsync(string key) => CalmAsync(async () =>
    {
        using var found = await client.GetObjectAsync(Bucket, key);
        using var reader = new StreamReader(found.ResponseStream);
        return (await reader.ReadToEndAsync(), found.Headers.ContentType, found.Headers.CacheControl, found.LastModified);
    });

    public Task PutAsync(string key, string text) => CalmAsync(() => client.PutObjectAsync(new() { BucketName = Bucket, Key = key, ContentBody = text }));

    /// <summary>
    /// Asks again where a write of the node came in between: this server puts an object's content, checksum and type one after the other (who reads in between finds that they differ, an answer that breaks off, or an internal error),
    /// and looks at each file of a list once more (one that was deleted meanwhile is an internal error, too).
    /// </summary>
    private static async Task<T> CalmAsync<T>(Func<Task<T>> ask)
    {
        for (var tries = 1; ; tries++)
        {
            try
            {
                return await ask();
            }
            catch (Exception e) when (tries < 50 && e is
                IOException or AmazonClientException or AmazonS3Exception { StatusCode: System.Net.HttpStatusCode.InternalServerError } or ArgumentOutOfRangeException { ParamName: "hex" })
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), TimeProvider.System);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        client?.Dispose();
        if (process is not null)
        {
            await process.EndAsync();
            await process.DisposeAsync();
        }

        folder.Dispose();
    }
}
