using System.ComponentModel.DataAnnotations;
using Sluice.Operations.Publishing;

namespace Sluice.Tests.Unit.Operations;

public sealed class PublishOptionsTests
{
    [Theory]
    [InlineData("PURGE http://10.0.0.5:6081", true)]
    [InlineData("GET http://10.0.0.5:8000/__purge", true)]
    [InlineData("BAN http://10.0.0.5:6081", true)]
    [InlineData("ban http://10.0.0.5:6081", false)]
    [InlineData("purge http://10.0.0.5:6081", false)]
    [InlineData("DELETE http://10.0.0.5:6081", false)]
    [InlineData("PURGE 10.0.0.5:6081", false)]
    [InlineData("PURGE ftp://10.0.0.5", false)]
    [InlineData("PURGE http://10.0.0.5/?x=", false)]
    [InlineData("PURGE http://me:secret@10.0.0.5", false)]
    [InlineData("http://10.0.0.5:6081", false)]
    public void Purge_OfACache_IsAMethodThatTheShippedOnesTakeAndAnAddress(string target, bool isLegal)
    {
        var options = new PublishOptions { Purge = [target] };
        Assert.Equal(isLegal, Validator.TryValidateObject(options, new ValidationContext(options), null, validateAllProperties: true));
    }
}
