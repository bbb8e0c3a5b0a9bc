using Amazon;
using Amazon.Runtime;
using Amazon.S3;
using Amazon.S3.Model;
using Sluice.Platform.Hosting;
using Sluice.Platform.Site;

namespace Sluice.Operations.Publishing;

/// <summary>
/// An S3 bucket, or what speaks like one, behind a CDN. Keys are addresses: <c>products/mug</c>, <c>v1/products/mug</c>, <c>index.html</c> for <c>/</c>.
/// A bucket has no step that replaces many files: what pages refer to is put first, each file whole, the manifest last. Whoever dies in between leaves old pages beside new ones, each whole.
/// What is there is compared by the bucket's own checksums, so whatever an exporter that was behind or died has left is put right by the next run.
/// </summary>
public sealed class BucketTarget : ISiteTarget, IDisposable
{
    private const int UploadsAtOnce = 8, DeletesPerCall = 1_000;

    private readonly AmazonS3Client client;
    private readonly string bucket;
    private readonly TimeProvider time;
    private SiteManifest? before;

    public BucketTarget(PublishOptions options, TimeProvider time)
    {
        (bucket, this.time) = (options.Bucket, time);
        var config = new AmazonS3Config { Timeout = TimeSpan.FromSeconds(30), MaxErrorRetry = 3, RequestChecksumCalculation = RequestChecksumCalculation.WHEN_REQUIRED, ResponseChecksumValidation = ResponseChecksumValidation.WHEN_REQUIRED };
        if (options.BucketUrl.Length > 0)
        {
            (config.ServiceURL, config.ForcePathStyle, config.AuthenticationRegion) = (options.BucketUrl, true, options.Region);
        }
        else
        {
            config.RegionEndpoint = RegionEndpoint.GetBySystemName(options.Region);
        }

        client = options.AccessKey.Length > 0 ? new AmazonS3Client(new BasicAWSCredentials(options.AccessKey, options.SecretKey), config) : new AmazonS3Client(config);
        Describe = $"bucket {bucket}{(options.BucketUrl.Length > 0 ? $" at {options.BucketUrl}" : "")}";
    }

    public string Describe { get; }

    public async Task<SiteChange?> PublishAsync(Site site, CancellationToken cancel)
    {
        try
        {
            // Step 1: what is there, by checksum; and what was there by its manifest, for what has to be purged.
            var there = await ListAsync(cancel);
            before ??= await ReadManifestAsync(cancel);
            var manifest = new SiteManifest(await site.VersionAsync(), time.GetUtcNow(), new SortedDictionary<string, PublishedFile>(StringComparer.Ordinal));

            // Step 2: what differs. First what other files refer to.
            var changed = new List<SiteFile>();
            await foreach (var file in site.FilesAsync(cancel))
            {
                manifest.Files.Add(file.Url, SiteManifest.Describe(file));
                if (there.GetValueOrDefault(KeyOf(file.Url)) != Checksum(file.Content))
                {
                    changed.Add(file);
                }
            }

            foreach (var group in changed.GroupBy(file => !file.NeverChanges).OrderBy(group => group.Key))
            {
                await Parallel.ForEachAsync(group, new ParallelOptions { MaxDegreeOfParallelism = UploadsAtOnce, CancellationToken = cancel }, async (file, stop) => await PutAsync(file, stop));
            }

            FaultPoints.Reach("site.written");

            // Step 3: what this site has no more goes; nothing that no manifest named, and no scripts: pages that somebody has loaded still ask for them.
            var gone = (before?.Files.Keys ?? Enumerable.Empty<string>()).Where(url => !manifest.Files.ContainsKey(url) && !url.StartsWith("/assets/", StringComparison.Ordinal)).Select(KeyOf).Where(there.ContainsKey);
            foreach (var keys in gone.Chunk(DeletesPerCall))
            {
                await client.DeleteObjectsAsync(new DeleteObjectsRequest { BucketName = bucket, Objects = [.. keys.Select(key => new KeyVersion { Key = key })] }, cancel);
            }

            // Step 4: the manifest, which says that all of it is there.
            var urls = manifest.ChangedSince(before);
            if (urls.Count > 0 || before?.Version != manifest.Version)
            {
                await PutAsync(new SiteFile("/" + SiteManifest.FileName, "application/json", manifest.ToBytes()), cancel);
            }

            var result = new SiteChange(manifest, [.. urls.Union(changed.Select(file => file.Url))]);
            before = manifest;
            return result;
        }
        catch (Exception e) when (e is AmazonServiceException or AmazonClientException or HttpRequestException)
        {
            throw new IOException($"{Describe}: {e.Message}", e);
        }
    }

    public void Dispose() => client.Dispose();

    private static string KeyOf(string url) => url == "/" ? "index.html" : url[1..];

    // The bucket's checksum of what was put in one piece. It finds differences; nobody's safety rests on it.
#pragma warning disable CA5351
    private static string Checksum(byte[] content) => Convert.ToHexStringLower(System.Security.Cryptography.MD5.HashData(content));
#pragma warning restore CA5351

    private async Task<Dictionary<string, string>> ListAsync(CancellationToken cancel)
    {
        var there = new Dictionary<string, string>(StringComparer.Ordinal);
        var request = new ListObjectsV2Request { BucketName = bucket };
        ListObjectsV2Response page;
        do
        {
            page = await client.ListObjectsV2Async(request, cancel);
            foreach (var entry in page.S3Objects ?? [])
            {
                there[entry.Key] = entry.ETag.Trim('"');
            }

            request.ContinuationToken = page.NextContinuationToken;
        }
        while (page.IsTruncated == true && there.Count <= Site.FilesMax * 2);
        return there;
    }

    private async Task<SiteManifest?> ReadManifestAsync(CancellationToken cancel)
    {
        try
        {
            using var found = await client.GetObjectAsync(bucket, SiteManifest.FileName, cancel);
            using var content = new MemoryStream();
            await found.ResponseStream.CopyToAsync(content, cancel);
            return SiteManifest.FromBytes(content.ToArray());
        }
        catch (AmazonS3Exception e) when (e.StatusCode == System.Net.HttpStatusCode.NotFound)
        {
            return null;
        }
    }

    private async Task PutAsync(SiteFile file, CancellationToken cancel)
    {
        using var content = new MemoryStream(file.Content, writable: false);
        var request = new PutObjectRequest { BucketName = bucket, Key = KeyOf(file.Url), InputStream = content, ContentType = file.ContentType, AutoCloseStream = false, UseChunkEncoding = false };
        request.Headers.CacheControl = file.NeverChanges ? "public, max-age=31536000, immutable" : "public, max-age=0, s-maxage=60, stale-while-revalidate=60";
        await client.PutObjectAsync(request, cancel);
    }
}
