using System.Security.Cryptography;

namespace Sluice.Platform.Hosting;

/// <summary>Secrets in the data folder: made at the first start, readable by the owner only.</summary>
public static class KeyFiles
{
    /// <summary>Reads the file, or writes it first with what <paramref name="make"/> gives. Two processes that start together end up with one secret.</summary>
    public static string LoadOrCreate(string path, Func<string> make)
    {
        if (!File.Exists(path))
        {
            // Written whole under another name and then linked: nobody ever reads half a key, and the first one wins.
            var draft = $"{path}.{Guid.NewGuid():N}";
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
            {
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            }

            using (var writer = new StreamWriter(draft, options))
            {
                writer.Write(make());
            }

            try
            {
                File.Move(draft, path, overwrite: false);
            }
            catch (IOException) when (File.Exists(path))
            {
                File.Delete(draft);
            }
        }

        return File.ReadAllText(path).Trim();
    }

    /// <summary>A secret of 256 random bits, as 43 characters that need no escaping.</summary>
    public static string NewSecret() => Microsoft.IdentityModel.Tokens.Base64UrlEncoder.Encode(RandomNumberGenerator.GetBytes(32));
}
